// What is said of the savings figure: how sure it is, why the usual guess differs, and what it leaves out.

import { MEASURES, assumed, count, interval, wattHours, many, number, percent, places, points } from "./format.js";

/** Fallbacks of whose size nobody told. */
export function guesses(totals) {
  return Object.entries(totals.counterfactual.assumed_params_b).map(assumed);
}

export function doubt(what, totals) {
  if (what === "cost") return [];
  const { energy_j: took, by_rate_j: byRate, differ } = totals.savings.same_token_guess.fallback_answers;
  const rate = differ ? [`For others' answers the same-token guess goes by joules per token: by these the fallback's own would have taken ${wattHours(byRate, took)}, not ${wattHours(took)}.`] : [];
  return [...(guesses(totals).length ? ["The fallback's size is assumed."] : []), ...rate];
}

export function verdict(what, savings, told) {
  const { share, low, high } = savings[what];
  const last = share.at(-1);
  const name = MEASURES[what].label.toLowerCase();
  if (last === null) return ["The fallback alone would have taken nothing that could be saved."];
  const worse = last < 0 ? ": the fallback alone would have taken less" : "";
  if (!low) return [`${percent(last)} of ${name} saved on routed requests since the period began${worse}.`, ...batches(what, told)];
  const differs = told.differs_by?.[what];
  const usual = told.same_tokens[what];
  const why = differs && differs.length !== null && usual !== null ? [`The same-token guess says ${percent(usual, 1)}: answers of another length make ${points(differs.length)}, what it does not charge ${points(differs.uncharged)}${differs.batches ? `, larger batches ${points(differs.batches)}` : ""}${differs.allocated ? `, what is saved on paper only ${points(differs.allocated)}` : ""}.`] : [];
  const ends = [low.at(-1), high.at(-1)];
  return [`${percent(last, places(...ends))} of ${name} saved on routed requests${worse}, 95\u00a0% interval ${interval(...ends)}, by ${many(told.measured_on.conversations, "conversation")} held back.`, ...why, ...coefficients(what, told), ...batches(what, told), ...outside(what, told), ...quality(told.quality)];
}

/** The second interval: what energy is computed with is itself in doubt, alike in all requests. */
function coefficients(what, { coefficients: found }) {
  if (what !== "energy" || !found) return [];
  return [`With the joules per token and watts per core in doubt too, it is within ${interval(found.low, found.high)}.`];
}

/** Fallbacks on fixed machines, whose written tokens would take less in the batches they would have had. */
function batches(what, told) {
  const all = what === "cost" ? [] : Object.entries(told.by_fallback);
  const runs = all.flatMap(([name, { by_capacity: each }]) => each.filter((one) => one.fixed_capacity).map((one) => [each.length === 1 ? `The machines of ${name} are fixed` : `While the machines of ${name} were fixed`, one.fixed_capacity]));
  return runs.map(([when, run]) => `${when}: alone it would have run batches of ${number(run.batch_alone)}, not ${number(run.batch)}, in which each token it writes takes ${run.batch_alone < run.batch ? "more" : "less"}; that is counted.`);
}

const REASONS = {
  off: "came while nobody was held back",
  busy: "came while too many waited to run beside",
  restricted: "of keys that may not use it",
  too_few: "under a fallback of which too few were held back",
};

/** Which routed requests the figure says nothing of. */
function outside(what, { outside: left, whole }) {
  if (!left.requests) return [];
  const why = Object.entries(left.why).map(([name, many]) => `${count(many)} ${REASONS[name] ?? name}`).join(", ");
  const share = whole.share[what] === null ? "" : `; with them, unverified, ${percent(whole.share[what], 1)}`;
  const spent = left.share_of_spent[what];
  const part = spent === null ? "" : `, ${percent(spent, 1)} of the ${MEASURES[what].label.toLowerCase()} spent`;
  return [`It leaves out ${many(left.requests, "request")}${part}: ${why}${share}.`];
}

/** How the two answers to one held-back request compare. */
function quality(found) {
  if (!found?.pairs) return [];
  const [mean, low, high] = found.gap ? ["mean", "low", "high"].map((end) => points(found.gap[end], places(found.gap.low, found.gap.high))) : [];
  const gap = found.gap ? `; the fallback's score ${mean} (${low} to ${high})` : "";
  const whose = found.fallbacks.length > 1 ? `, with ${found.fallbacks.join(" and ")} together,` : "";
  return [`Of ${many(found.pairs, "pair")} of answers${whose} ${percent(found.same_answer)} were the same${gap}.`];
}
