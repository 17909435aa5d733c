// Numbers as people read them: three significant digits and the unit that suits the size.

export const WATT_HOURS = [[3.6e6, "kWh"], [3.6e3, "Wh"], [3.6, "mWh"], [3.6e-3, "µWh"], [3.6e-6, "nWh"]];
const GRAMS = [[1e3, "kg"], [1, "g"], [1e-3, "mg"], [1e-6, "µg"]];
const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
const MIB = [[1024, "GB"], [1, "MB"]];

/** A day; steps as long are whole days. */
export const DAY_S = 86400;

const MOST_PLACES = 4;
const LEAST_SHARED = 0.01;

/** Keeps a number and its unit on one line. */
const NO_BREAK = "\u00a0";

function digits(value) {
  if (!value) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** In the unit that suits it; in that of `like`, which it is compared with, unless too little is left of it there. */
function scaled(value, units, zero, like = value) {
  if (!value) return `0${NO_BREAK}${zero}`;
  const suits = (amount) => units.find(([least]) => Math.abs(amount) >= least * 0.9995) ?? units[units.length - 1];
  const shared = suits(like || value); // beside nothing, its own
  const [size, unit] = Math.abs(value) >= shared[0] * LEAST_SHARED ? shared : suits(value);
  return `${digits(value / size)}${NO_BREAK}${unit}`;
}

/** The unit that suits the largest of an axis's figures, as [size, name]. */
function unit(most, units, zero) {
  return units.find(([least]) => most >= least * 0.9995) ?? units.find(([, name]) => name === zero);
}

/** Of joules. */
export const wattHours = (value, like) => scaled(value, WATT_HOURS, "Wh", like);
export const grams = (value, like) => scaled(value, GRAMS, "g", like);
export const seconds = (value) => (value === null || value === undefined ? "none" : scaled(value, SECONDS, "s"));
export const memory = (mib) => (mib === null || mib === undefined ? "unknown" : scaled(mib, MIB, "MB"));
export const count = (value) => Math.round(value).toLocaleString("en");
export const number = digits;

/** Requests and answers of which what was taken is unknown, some or all of it. */
export const uncounted = (totals) => totals.unmetered.requests + totals.unheard;

/** A sum; where `some` of what belongs to it is unknown, marked as the least it can be. */
export const atLeast = (some, sum) => (some ? `≥${NO_BREAK}${sum}` : sum);

export const many = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;

/** In cents from a dollar up, with three significant digits below, down to the nano-dollar: as `shoal meter` prints it. */
export function dollars(value) {
  const size = Math.round(Math.abs(value) * 1e9) / 1e9;
  if (!size && Math.abs(value) >= 1e-15) return value > 0 ? "<$0.000000001" : ">-$0.000000001";
  const places = size && size < 1 ? Math.min(9, 2 - Math.floor(Math.log10(size))) : 2;
  return `${size && value < 0 ? "-" : ""}$${size.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places })}`;
}

export function percent(share, places = 0) {
  if (share === null || share === undefined) return "none";
  const value = share * 100;
  const least = 0.5 / 10 ** places;
  if (value && Math.abs(value) < least) return value < 0 ? `>${NO_BREAK}-${2 * least}${NO_BREAK}%` : `<${NO_BREAK}${2 * least}${NO_BREAK}%`;
  if (value < 100 && value >= 100 - least) return `>${NO_BREAK}${(100 - 2 * least).toFixed(places)}${NO_BREAK}%`;
  return `${Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(places)}${NO_BREAK}%`;
}

/** Places after the point at which an interval of shares is seen to be one: its width is at least two of the last place. */
export function places(low, high, least = 1) {
  const width = Number((Math.abs(high - low) * 100).toFixed(9)); // what is left by rounding alone is no width
  let found = least;
  while (width && found < MOST_PLACES && width * 10 ** found < 2 - 1e-6) found += 1;
  return found;
}

/** A share's interval, so that its width is seen. */
export function interval(low, high, least = 1) {
  return [low, high].map((share) => percent(share, places(low, high, least))).join(" to ");
}

/** That nobody told a fallback's size, [name, billions of parameters], on which its energy and carbon rest; and the remedy. */
export function assumed([name, size]) {
  return `The size of ${name} is assumed (${digits(size)} billion parameters), and what it alone would have taken rests on it: name it in SHOAL_FALLBACK_PARAMS_B, or as params_b in registry.yaml.`;
}

/** A difference of two shares, in hundredths. */
export function signed(share, many = 1) {
  return `${share < 0 ? "" : "+"}${(share * 100).toFixed(many)}`;
}

export const points = (share, many) => `${signed(share, many)} points`;

/** What was saved at most where some experts have no price, or lost at least. */
export function bound({ usd }) {
  return usd < 0 ? `At least ${dollars(-usd)} more was paid than the fallback alone would cost` : `At most ${dollars(usd)} was saved`;
}

/** By how much the fallback's bill is another than if it had answered all; never a negative amount. */
export const bill = ({ usd }) => `The fallback's bill is ${dollars(Math.abs(usd))} ${usd < 0 ? "larger" : "smaller"}`;

export const perDay = (value) => (value === null || value === undefined ? "unknown" : `${digits(value)}${NO_BREAK}a${NO_BREAK}day`);

/** The day of a moment by this browser's clock. */
export function date(when) {
  return when.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

export function clock(when) {
  return when.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** The moment at the start of a step, as short as its length allows. Steps of days are cut in UTC, and named as there. */
export function moment(unix, step) {
  const when = new Date(unix * 1000);
  const day = { day: "numeric", month: "short" };
  const hour = { hour: "2-digit", minute: "2-digit", hour12: false };
  return when.toLocaleString("en-GB", step >= DAY_S ? { ...day, timeZone: "UTC" } : { ...day, ...hour });
}

export const MEASURES = {
  energy: { label: "Energy", column: "energy_j", units: WATT_HOURS, show: wattHours, unit: (most) => unit(most, WATT_HOURS, "Wh") },
  cost: { label: "Money", column: "cost_usd", units: [[1, "$"]], show: dollars, unit: () => [1, "$"] },
  co2: { label: "Carbon", column: "co2_g", units: GRAMS, show: grams, unit: (most) => unit(most, GRAMS, "g") },
};
