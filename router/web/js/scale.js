// Amounts that stand together: in one unit, with the same number of decimals, so that what is shown adds up. As `shoal meter report` tells them.

const DIGITS = 3;
const MOST_DIGITS = 5;
const CENTS = 2;
const NANO = 9;
const NEAR = 2;
const NO_BREAK = "\u00a0";

/** The unit and the decimals that suit amounts; null is passed over. */
class Scale {
  constructor(units, amounts) {
    const sizes = amounts.filter(Boolean).map(Math.abs);
    const most = sizes.length ? Math.max(...sizes) : units.slice(0, 2).at(-1)[0]; // of nothing: Wh, g, $
    [this.size, this.unit] = units.find(([least]) => most >= least * 0.9995) ?? units[units.length - 1];
    const [large, small] = sizes.length ? [most / this.size, Math.min(...sizes) / this.size] : [0, 0];
    const base = this.unit !== "$" || (large > 0 && large < 1) ? places(large, DIGITS) : CENTS;
    this.places = Math.min(Math.max(base, Math.min(places(small, DIGITS), places(large, MOST_DIGITS))), NANO);
  }

  steps(amount) {
    return Math.sign(amount) * Math.floor((Math.abs(amount) / this.size) * 10 ** this.places + 0.5);
  }

  told(amount, steps = this.steps(amount)) {
    if (steps || Math.abs(amount) < this.size * 1e-15) return this.shown(steps);
    return amount > 0 ? `<${this.shown(1)}` : `>${this.shown(-1)}`;
  }

  shown(steps) {
    const [digits, sign] = [{ minimumFractionDigits: this.places, maximumFractionDigits: this.places }, steps < 0 ? "-" : ""];
    const number = (Math.abs(steps) / 10 ** this.places).toLocaleString("en", digits);
    return this.unit === "$" ? `${sign}$${number}` : `${sign}${number}${NO_BREAK}${this.unit}`;
  }
}

/** After the point, at which an amount has so many significant digits; 0 of nothing. */
function places(amount, digits) {
  return amount ? Math.max(digits - 1 - Math.floor(Math.log10(amount)), 0) : 0;
}

/** What the fallback alone would have taken, what was spent, and what was saved, the first less the second; `paper`: saved on paper only; `beside`: amounts beside which they stand, whose unit they take. */
export function difference(units, alone, spent, saved, paper = 0, beside = []) {
  const scale = new Scale(units, beside.some(Boolean) ? beside : [alone, spent, saved]);
  const told = [alone, spent, saved].map((each) => (each === null ? "unknown" : scale.told(each)));
  if ([alone, spent, saved].includes(null)) return told;
  const ends = scale.steps(alone) - scale.steps(spent) - scale.steps(paper);
  if (Math.abs(ends - scale.steps(saved)) <= NEAR) told[2] = scale.told(saved, ends);
  return told;
}

/** The whole and its parts, which add up as they are shown: each rounded by itself, then the largest one more or less. */
export function parts(units, amounts, whole) {
  const scale = new Scale(units, [whole, ...amounts]);
  const steps = amounts.map((amount) => scale.steps(amount));
  const missing = scale.steps(whole) - steps.reduce((sum, some) => sum + some, 0);
  const order = amounts.map((_, at) => at).sort((a, b) => Math.abs(amounts[b]) - Math.abs(amounts[a]));
  order.slice(0, Math.abs(missing)).forEach((at) => (steps[at] += Math.sign(missing)));
  return [scale.told(whole), amounts.map((amount, at) => scale.told(amount, steps[at]))];
}
