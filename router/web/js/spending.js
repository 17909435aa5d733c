// The panels about money, energy and carbon: what was saved, what was spent, where a figure comes from.

import { stack } from "./bars.js";
import { Curve } from "./curve.js";
import { h, swatch } from "./dom.js";
import { MEASURES, WATT_HOURS, atLeast, bill, bound, count, dollars, interval, wattHours, many, moment, number, percent, places, uncounted } from "./format.js";
import { savedByKey } from "./keys.js";
import { Panel, segments } from "./panel.js";
import { doubt, guesses, verdict } from "./saved.js";
import { difference, parts } from "./scale.js";

const SOURCES = {
  measured: ["--series-2", "read from a counter"],
  modelled: ["--series-0", "processor time at watts per core"],
  table: ["--series-1", "joules per token"],
};

function measured(panel, draw) {
  const host = h("span", { class: "segments", role: "group", "aria-label": `${panel.title}: of what` });
  let chosen = "energy";
  segments(host, Object.entries(MEASURES).map(([name, measure]) => [name, measure.label]), chosen, (name) => {
    chosen = name;
    panel.drawn = "";
    draw();
  });
  panel.chips.append(host);
  return () => chosen;
}

export function savingsPanel() {
  const panel = new Panel("Saved, as a share of the fallback alone", "wide");
  const curve = new Curve(panel.picture);
  const byKey = savedByKey();
  panel.element.append(byKey.element);
  let data = null;
  const of = measured(panel, () => data && show(data));
  function show(found) {
    data = found;
    const what = of();
    const { series, savings, totals, experts } = found;
    byKey.show(what, found.period);
    panel.update([what, series.t_s, savings, totals.savings, totals.counterfactual, experts], () => {
      const whole = what !== "cost" || savings.cost.share.at(-1) !== null;
      const part = whole ? null : savings.priced_part;
      const { share, low, high, same_tokens: naive } = part ?? savings[what];
      const ofPart = part ? `, on the ${count(part.requests)} of ${many(part.of, "request")} of which all money is known` : "";
      const [main, ...notes] = whole ? verdict(what, savings, totals.savings.routed) : unknown(totals, experts);
      panel.say(main, what === "cost" ? paper(totals.savings.allocated_usd) : "", " ", h("span", { class: `chip ${savings.status === "published" ? "good" : "warn"}` }, savings.status));
      panel.note([...notes, ...doubt(what, totals)]);
      const lines = [{ label: `saved so far${ofPart}`, values: share, tint: "--accent", kind: low ? "line" : "area" }];
      if (low) {
        lines.push({ label: "95\u00a0% interval, upper end", values: high, tint: "--accent", kind: "edge" }, { label: "95\u00a0% interval, lower end", values: low, tint: "--accent", kind: "edge" });
        lines.push({ label: "same-token guess, unverified", values: naive, tint: "--fallback", kind: "dash" });
      }
      curve.draw({ t: series.t_s, step: series.step_s, lines, band: low ? [2, 3] : null, show: (value) => percent(value), axis: shares, unknown: share.every((one) => one === null) });
      const row = (at) => (low ? [share, low, high, naive].map((column) => percent(column[at], places(low[at], high[at]))) : [percent(share[at], 1)]);
      // What is measured is estimated at the end of some steps only: of the others it is not told that nothing was saved.
      const some = share.some((one) => one !== null);
      const told = series.t_s.map((t, at) => [t, at]).filter(([, at]) => !some || share[at] !== null);
      panel.rows(
        ["From", `Saved so far${part ? ` on ${count(part.requests)} of ${count(part.of)}` : ""}`, ...(low ? ["Low", "High", "Same-token guess"] : [])],
        told.map(([t, at]) => [moment(t, series.step_s), ...row(at)]),
      );
    });
  }
  return { panel, show };
}

/** Ticks of an axis of shares, with as many places as they need. */
function shares(ticks) {
  const whole = ticks.every((tick) => Math.abs(tick * 100 - Math.round(tick * 100)) < 1e-6);
  return ticks.map((tick) => percent(tick, whole ? 0 : 1));
}

const UNPRICED = "The fallback has no price, so what was saved in money is unknown: give it 'price', 'list_price' or 'hardware' in registry.yaml.";

/** What to do about experts without a price; nothing where all have one by now. */
function lacking(who, experts) {
  const none = who.filter((name) => !experts.find((expert) => expert.id === name)?.priced);
  if (!none.length) return "had no price at some time of this period, but has one now";
  return `is not declared: give 'hardware' or 'price'${none.length < who.length ? ` for ${none.join(", ")}` : ""} in registry.yaml`;
}

function fallbackPriced(experts) {
  return experts.find((expert) => expert.fallback)?.priced ?? false;
}

/** Why no money saved can be told, and what can: by how much the fallback's bill is another. */
function unknown(totals, experts) {
  const { fallback_bill_avoided: avoided, at_most: most, priced_part: part } = totals.savings;
  const known = part?.requests ? [pricedPart(part)] : [];
  if (avoided.usd === null) return [fallbackPriced(experts) ? "The fallback had no price at some time of this period, so what was saved in money is unknown." : UNPRICED, ...known];
  if (!most) return ["The fallback alone would have taken nothing that could be saved."];
  const unknown = `${most.no_price.join(", ")} cost, which ${lacking(most.no_price, experts)}.${paper(avoided.allocated_usd)}`;
  if (!most.others_usd) return [`${bill(avoided)}${within(avoided)}, before what ${unknown}`, ...known];
  return [`${bound(most)}${within(most)}: ${bill(avoided).replace("The", "the")}${within(avoided)}, before what ${avoided.before_cost_of.join(", ")} and the router's own work cost. Of that ${dollars(most.others_usd)} is known; not in it is what ${unknown}`, ...known];
}

/** A share of money that is told only in part, with its interval where it is measured. */
function within({ share, low, high }) {
  if (share === null) return "";
  return low === undefined ? ` (${percent(share)})` : ` (${percent(share, places(low, high))}, 95\u00a0% interval ${interval(low, high)})`;
}

/** What was saved on the requests of which all money is known. */
function pricedPart({ requests, of, share_of_requests: ofAll, cost_usd: usd, share, low, high, standing, calls_without_price: calls }) {
  const within = low === null ? "" : `, 95\u00a0% interval ${interval(low, high)}`;
  const known = share === null ? "" : ` (${percent(share, low === null ? 1 : places(low, high))}${within})`;
  return `On ${count(requests)} of ${many(of, "request")} (${percent(ofAll)}) all money is known: ${dollars(usd)} saved${known}, ${standing}; left out, on both sides, are ${many(calls, "call")} without a price and all of ${calls === 1 ? "its domain" : "their domains"}, for what remains of one would be no fair sample.`;
}

export function spendingPanel() {
  const panel = new Panel("Spent, beside the fallback alone");
  const curve = new Curve(panel.picture);
  let data = null;
  const of = measured(panel, () => data && show(data));
  function show(found) {
    data = found;
    const measure = MEASURES[of()];
    const { series, totals, experts } = found;
    panel.update([measure.column, series.t_s, series.spent, series.compared, series.fallback, series.unmetered, series.unheard, totals.savings, totals.unpriced, experts], () => {
      const [all, spent, alone] = [series.spent, series.compared, series.fallback].map((columns) => columns[measure.column]);
      const known = measure === MEASURES.cost && totals.unpriced.attempts ? series.compared.known_usd : null;
      const missing = series.unmetered.map((some, at) => some + series.unheard[at]);
      panel.say(`${measure === MEASURES.cost ? money(totals, experts) : beside(measure, totals)}${lost(series)}`);
      panel.note(guess(measure, totals.savings));
      // Drawn in the unit of the axis, so that its ticks are round.
      const [size, unit] = measure.unit(Math.max(...(known ?? spent), ...alone));
      const drawn = (column) => column.map((value) => (value === null ? null : value / size));
      curve.draw({
        t: series.t_s,
        step: series.step_s,
        unknown: known !== null && ![...known, ...alone].some(Boolean),
        show: (value) => measure.show(value * size),
        axis: (ticks) => ticks.map((tick) => (unit === "$" ? measure.show(tick).replace(/\.00$/, "") : `${number(tick)} ${unit}`)),
        lines: [
          { label: "really spent", values: drawn(spent), tint: "--accent", kind: "area", gaps: known !== null, least: missing },
          ...(known ? [{ label: "known part of it", values: drawn(known), tint: "--accent", kind: "dash" }] : []),
          { label: `fallback alone (same-token guess${isGuess(measure, totals.savings) ? "" : ", not measured"})`, values: drawn(alone), tint: "--fallback", kind: "dash" },
        ],
      });
      const cell = (column, at) => (column[at] === null ? "unknown" : atLeast(column !== alone && missing[at], measure.show(column[at])));
      panel.rows(["From", "Really spent", "Fallback alone (same-token guess)", "Spent in all", ...(known ? ["Known part of it", "Calls", "Without a price"] : [])], series.t_s.map((t, at) => [moment(t, series.step_s), ...[spent, alone, all, ...(known ? [series.spent.known_usd] : [])].map((column) => cell(column, at)), ...(known ? [series.attempts, series.unpriced].map((column) => count(column[at])) : [])]));
    });
  }
  return { panel, show };
}

/** Steps of which some is missing, for the server died over it. */
function lost({ t_s: t, step_s: step, unmetered, unheard }) {
  const left = unheard.reduce((sum, some) => sum + some, 0);
  const gone = left ? ` The clients of ${many(left, "answer")} left before the first word; what was written by then is in no sum.` : "";
  const when = t.filter((_, at) => unmetered[at]).map((second) => moment(second, step));
  if (!when.length) return gone;
  const steps = when.length > 3 ? `${count(when.length)} steps` : when.join(", ");
  const requests = unmetered.reduce((sum, some) => sum + some);
  const one = requests === 1;
  return ` At least so much was spent: ${many(requests, "request")} (${steps}) ${one ? "was" : "were"} under way when the server died, and what ${one ? "it" : "they"} took is unknown.${gone}`;
}

/** What the electricity of the router's own work cost, and for how many requests it has no price. */
function ownMoney({ priced, cost_usd: usd, unpriced_requests: unpriced }) {
  const cost = priced || usd ? `, which cost ${dollars(usd)}` : "";
  if (priced) return cost;
  return usd ? `${cost} as far as it has a price; for ${many(unpriced, "request")} no electricity price was given, so in money theirs counts as $0` : "; no electricity price was given for it, so in money it counts as $0";
}

/** By how much counters say other of it than requests are charged. */
function byCounter({ by_counter_j: counted, beyond_charged_j: beyond }) {
  return counted === null ? "" : ` Counters say ${wattHours(counted)} for it, its work for no request in it: ${wattHours(Math.abs(beyond), counted)} ${beyond < 0 ? "less" : "more"}, in no sum.`;
}

export function sourcesPanel() {
  const panel = new Panel("Where the energy figures come from", "third");
  function show({ totals, energy_mix: mix }) {
    panel.update([totals.energy_by_method, totals.unmetered, totals.unheard, totals.router, idle(totals), guesses(totals)], () => {
      const whole = totals.energy_j;
      const rows = Object.entries(SOURCES).map(([name, [tint, told]]) => ({ name, told, tint: `var(${tint})`, value: totals.energy_by_method[name] ?? 0, share: mix[name] ?? 0 }));
      const found = rows.filter((row) => row.value > 0).map((row) => `${percent(row.share)} ${row.name}`);
      const [added, amounts] = parts(WATT_HOURS, rows.map((row) => row.value), whole);
      panel.say(whole ? `${atLeast(uncounted(totals), added)} in all: ${found.join(", ")}.` : "No energy is in the ledger yet.");
      panel.picture.replaceChildren(
        stack(rows),
        h("div", { class: "parts" }, rows.map((row, at) => h("div", { class: "part" }, swatch(row.tint), h("b", {}, row.name), h("span", {}, amounts[at]), h("p", { class: "quiet" }, row.told)))),
        h("p", { class: "quiet aftermath" }, `The router's own work took ${wattHours(totals.router.energy_j)} of it${ownMoney(totals.router)}.${byCounter(totals.router)} ${idle(totals)}`),
        ...guesses(totals).map((sentence) => h("p", { class: "warn aftermath" }, sentence)),
      );
      panel.rows(["Source", "Energy"], rows.map((row, at) => [row.name, amounts[at]]));
    });
  }
  return { panel, show };
}

/** The one figure of the period, the same as in the tiles. */
function beside(measure, { savings }) {
  const { named, unable, failed, interrupted } = savings.same_token_guess.left_out;
  const left = [named && `${count(named)} for which a model was named`, unable && `${count(unable)} that the fallback could not have answered`, failed && `${count(failed)} for which the fallback was asked and failed`, interrupted && `${count(interrupted)} under way when the server died`].filter(Boolean);
  const word = isGuess(measure, savings) ? "a same-token guess" : `${savings.low ? "measured, " : ""}${savings.standing}`;
  return `${sides(measure, savings)}: ${word}.${left.length ? ` Left out: ${left.join(", ")}.` : ""}`;
}

function sides(measure, of, beside = of) {
  const { column, units } = measure;
  const three = (told) => [told.counterfactual[column], told.spent[column], told[column]];
  const amounts = difference(units, ...three(of), measure === MEASURES.cost ? of.allocated_usd ?? 0 : 0, three(beside));
  const [alone, spent] = amounts.map((amount) => (amount === "unknown" ? "an unknown amount" : amount));
  return `On ${many(of.requests, "request")} ${spent} was really spent, ${alone} by the fallback alone`;
}

/** Whether the period's figure is no other than the same-token guess. */
function isGuess(measure, savings) {
  const told = (of) => [of.requests, of.spent[measure.column], of.counterfactual[measure.column]].join();
  return told(savings) === told(savings.same_token_guess);
}

/** Of the curves, step by step, which no conversation held back can make surer. */
function guess(measure, savings) {
  if (isGuess(measure, savings) || savings.same_token_guess.counterfactual[measure.column] === null) return [];
  const fixed = Object.values(savings.routed.by_fallback).some((one) => one.fixed_capacity);
  const today = fixed && measure !== MEASURES.cost ? ", in the batches of today" : "";
  return [`The dashed curve is the same-token guess${today}: step by step nothing is measured, so it does not add up to what is said above. ${sides(measure, savings.same_token_guess, savings)} by that guess.`];
}

/** What has no price is named, and never counted as free. */
function money(totals, experts) {
  const { attempts, share } = totals.unpriced;
  const unpriced = attempts ? ` No price is known of ${totals.no_price.join(", ")}: ${count(attempts)} of ${many(totals.attempts, "call")} (${percent(share)}). Where one is among them, what was spent is unknown and only the known part is drawn.` : "";
  const known = totals.cost_usd === null ? "" : ` ${dollars(totals.cost_usd)} known to be spent in all.`;
  if (!fallbackPriced(experts)) return `${UNPRICED}${known}${unpriced}`;
  return `${beside(MEASURES.cost, totals)}${known}${paper(totals.savings.allocated_usd)}${unpriced}`;
}

/** What was not spent by the accounts only: it leaves no bill, so it is not called saved. */
function paper(allocated) {
  if (!allocated) return "";
  const [whose, done, left] = allocated > 0 ? ["the fallback's machines", "saved", "the rest"] : ["the small experts' machines, beyond the fallback's,", "spent", "that much more than the fallback alone less what was spent"];
  return ` ${dollars(Math.abs(allocated))} of ${whose} is ${done} on paper only: they are there in any case. What was saved is ${left}.`;
}

/** What devices took while they had nothing to do: a line of its own, in no request's figure. */
function idle(totals) {
  if (!Object.keys(totals.idle).length) return "No device has a counter here, so idle energy is unknown.";
  const upto = totals.idle_known_until ? `, up to ${moment(Date.parse(totals.idle_known_until) / 1000, 1)}` : "";
  const divided = totals.idle_divided ? " Of an hour of which only the sum is kept it is told as if it had come evenly." : "";
  return `Idle devices took ${wattHours(totals.idle_j)} beside it${upto}.${divided}`;
}
