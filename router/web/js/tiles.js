// The first screen: what was saved in money, energy and carbon, how sure that is, and how good the small experts' answers are.

import { h } from "./dom.js";
import { MEASURES, atLeast, bill, bound, count, dollars, grams, interval, many, percent, places, points, signed, uncounted } from "./format.js";
import { difference } from "./scale.js";

const LONG = 8;
const MOST_NAMES = 3;
const MOODS = { published: "good", provisional: "warn", "estimate, unverified": "warn" };

/** The tiles, those whose figure is known first; each is a figure, lines about it and how far it can be believed. */
export function tiles(found) {
  const shown = [moneyTile(found), savedTile("energy", found.totals), savedTile("co2", found.totals), qualityTile(found)];
  return [...shown.filter((one) => one.figure !== UNKNOWN), ...shown.filter((one) => one.figure === UNKNOWN)];
}

export function tile({ title, figure, lines, standing }) {
  return h(
    "section",
    { class: "tile" },
    h("h2", {}, title),
    h("p", { class: `figure${figure.length > LONG ? " long" : ""}${figure === UNKNOWN ? " quiet" : ""}` }, figure),
    lines.filter(Boolean).map((line) => h("p", { class: "under" }, line)),
    standing ? h("p", { class: "foot-chip" }, h("span", { class: `chip ${MOODS[standing] ?? ""}` }, standing)) : null,
  );
}

const UNKNOWN = "unknown";

/** Energy or carbon, of which there is always a figure. */
function savedTile(what, totals) {
  const { label, column, show } = MEASURES[what];
  const { savings } = totals;
  const assumed = Object.keys(totals.counterfactual.assumed_params_b).length;
  const spent = `${atLeast(uncounted(totals), show(totals[column], savings.counterfactual[column]))} spent in all`;
  return {
    title: `${label} saved`,
    ...compared(what, savings),
    lines: [
      `${beside(what, savings[column], savings.counterfactual[column], savings.spent[column])}${ofPart(savings)}`,
      ...within(savings.low?.[what], savings.high?.[what]),
      spent,
      what === "co2" ? `${grams(totals.sci.per_request)} a request (SCI), by the grid of ${names([...new Set(totals.sci.grids.map((grid) => grid.split(" ")[0]))], "grids")}` : null,
      assumed ? "The fallback's size is assumed." : null,
    ],
  };
}

/** Money as far as there are prices: what has none is never called free, nor saved. */
function moneyTile({ totals, experts }) {
  const { savings } = totals;
  const { counterfactual: { cost_usd: alone }, cost_usd: saved, allocated_usd: allocated, priced_part: part } = savings;
  const most = savings.at_most?.others_usd ? `${bound(savings.at_most)}, ${together(savings)}.` : null;
  const lines = [most, spent(totals), missing(totals, experts)];
  const title = "Money saved";
  if (saved !== null) return { title, ...compared("cost", savings), lines: [`${beside("cost", saved, alone, savings.spent.cost_usd, allocated)}${ofPart(savings)}`, ...within(savings.low?.cost, savings.high?.cost), paper(allocated), ...lines] };
  if (part?.requests) {
    const of = `on the ${count(part.requests)} of ${many(part.of, "request")} (${percent(part.share_of_requests)}) of which all money is known`;
    return { title, figure: percent(part.share, part.low === null ? 0 : places(part.low, part.high, 0)), standing: part.standing, lines: [`${beside("cost", part.cost_usd, part.counterfactual_usd)}, ${of}`, ...within(part.low, part.high), paper(part.allocated_usd), ...lines] };
  }
  const { fallback_bill_avoided: avoided, at_most: known } = savings;
  const without = known && `${bill(avoided)}, before what ${names(avoided.before_cost_of)} cost.`;
  return { title, figure: UNKNOWN, standing: null, lines: [without, without && paper(avoided.allocated_usd), ...lines] };
}

/** Of which routed requests a figure is, where it could pass for that of a part. */
function together({ requests, routed: { whole } }) {
  return !whole || requests === whole.requests ? "all requests together" : `the ${count(requests)} of ${many(whole.requests, "request")} that were measured together`;
}

function compared(what, { share, low, high, standing }) {
  if (share?.[what] === undefined || share[what] === null) return { figure: UNKNOWN, standing: null };
  return { figure: percent(share[what], low ? places(low[what], high[what], 0) : 0), standing };
}

/** The amount that the share is of. */
function beside(what, saved, alone, spent = null, paper = 0) {
  const { units } = MEASURES[what];
  const [done, said] = what === "cost" ? ["cost", "paid"] : ["taken", "spent"];
  const [whole, , part] = difference(units, alone, spent, saved, paper);
  if (saved < 0) return `${part.replace("-", "")} more really ${said} than the ${whole} that the fallback alone would have ${done}`;
  return `${part} of the ${whole} that the fallback alone would have ${done}`;
}

/** Of how many routed requests the amounts are, where they leave some out. */
function ofPart({ requests, routed: { whole } }) {
  return !whole || requests === whole.requests ? "" : `, on ${count(requests)} of ${many(whole.requests, "request")}`;
}

function within(low, high) {
  return low === undefined || low === null ? [] : [`95\u00a0% interval ${interval(low, high, 0)}`];
}

function paper(allocated) {
  return allocated ? `${dollars(Math.abs(allocated))} ${allocated > 0 ? "saved" : "spent"} on paper only` : null;
}

function spent(totals) {
  if (totals.no_price.length && !totals.cost_usd) return null;
  return `${atLeast(totals.no_price.length || uncounted(totals), dollars(totals.cost_usd))} spent in all`;
}

/** Whose price is missing, or was at some time. */
function missing({ no_price: none }, experts) {
  if (!none.length) return null;
  const lacking = none.filter((name) => !experts.find((expert) => expert.id === name)?.priced);
  return lacking.length ? `No price for ${names(lacking)}: give one in registry.yaml.` : `No price for ${names(none)} at some time; there is one now.`;
}

function names(some, what = "experts") {
  return some.length > MOST_NAMES ? `${count(some.length)} ${what}` : some.join(", ");
}

/** Graded beside the fallback's where that is known, else as clients rated them. */
function qualityTile({ totals, calibration: { small_experts: { n, mean_score: score } } }) {
  const title = "Small experts' answers";
  const gap = totals.savings.routed.quality?.gap;
  const said = `is the mean score of ${many(n, "answer")} that clients rated`;
  const rated = n ? `${percent(score)} ${said}` : null;
  if (gap) {
    const decimals = places(gap.low, gap.high);
    return { title, figure: points(-gap.mean, decimals), standing: null, lines: [`in score beside the fallback's answers to the same, ${many(gap.graded, "pair")} graded`, `95\u00a0% interval ${signed(-gap.high, decimals)} to ${points(-gap.low, decimals)}`, rated] };
  }
  if (n) return { title, figure: percent(score), standing: null, lines: [said] };
  return { title, figure: "not rated", standing: null, lines: ["Rate one in the playground, or send a score to POST /v1/feedback."] };
}
