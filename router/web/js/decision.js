// The decision and the receipt, in words and bars.

import { bars } from "./bars.js";
import { h, swatch } from "./dom.js";
import { assumed, dollars, grams, percent, wattHours } from "./format.js";
import { tint } from "./palette.js";

const LEAST_SEEN = 0.0005;

/** The ledger counts whole micrograms. */
const LEAST_G = 1e-6;

const LEFT_OUT = {
  named: "A model was named, so nothing was chosen and nothing is compared.",
  unable: "The fallback could not have answered this, so there is nothing to compare with.",
  failed: "The fallback was asked and failed, so there is nothing to compare with.",
};

/** What /v1/route said. */
export function decisionView(found) {
  const { decision, nearest, would_change: changes } = found;
  const parts = [
    h("p", { class: "verdict" }, swatch(tint(decision.expert), "dot"), decision.expert),
    h("p", { class: "summary" }, decision.reason, decision.policy ? ` (policy ${decision.policy})` : ""),
  ];
  if (decision.candidates?.length) parts.push(candidates(decision));
  const { moved_by: moved, out_of_domain: known } = found;
  if (known) parts.push(block("Is it a known kind of request?", h("p", { class: "summary" }, familiarity(known))));
  const parties = Object.entries(moved ?? {}).map(([expert, by]) => [expert, movement(by)]).filter(([, by]) => by);
  if (parties.length) parts.push(block("What outcomes moved", h("ul", { class: "changes" }, parties.map(([expert, by]) => h("li", {}, `${expert}: ${by}`)))));
  if (nearest?.length) parts.push(block("Nearest known examples", nearestList(nearest)));
  if (changes?.length) parts.push(block("What would have changed it", h("ul", { class: "changes" }, changes.map((change) => h("li", {}, words(change))))));
  return parts;
}

/** The `shoal` object at the end of an answer, against the fallback. */
export function receiptView(shoal, waited) {
  const { fallback } = shoal;
  const rows = [
    ["Money", known(dollars, shoal.cost_usd, "no price"), known(dollars, fallback.cost_usd, "no price"), less(fallback.avoidable_usd, shoal.avoidable_usd), fallback.cost_usd],
    ["Energy", wattHours(shoal.energy_j), known(wattHours, fallback.energy_j, "unknown"), less(fallback.energy_j, shoal.energy_j), fallback.energy_j],
    ["Carbon", carbon(shoal), fallback.co2_g === null ? "unknown" : carbon(fallback), fallback.co2_g ? less(fallback.co2_g, shoal.co2_g || (shoal.energy_j ? LEAST_G : 0)) : null, fallback.co2_g],
  ];
  const estimated = fallback.estimated && !fallback.left_out;
  const own = !fallback.estimated && !fallback.left_out;
  const body = rows.map(([name, spent, alone, saved, of]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, spent), estimated || own ? h("td", {}, alone) : null, estimated ? h("td", { class: verdict(saved) }, compared(saved, of)) : null));
  const escalated = shoal.escalated;
  return [
    h(
      "table",
      { class: "against" },
      h("caption", { class: "aside" }, "What this answer took beside the fallback"),
      h("thead", {}, h("tr", {}, ["", "this answer", ...(estimated ? ["fallback (estimate)", "saved"] : own ? ["the fallback's part"] : [])].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, body),
    ),
    shoal.held_back ? h("p", { class: "quiet aftermath" }, `Held back: ${shoal.decision.expert} was chosen (${shoal.decision.reason}). It answers too, unseen, to be compared; what that takes is added in the ledger.`) : null,
    fallback.left_out ? h("p", { class: "quiet aftermath" }, LEFT_OUT[fallback.left_out]) : null,
    estimated && fallback.cost_usd > fallback.avoidable_usd ? h("p", { class: "quiet aftermath" }, `${dollars(fallback.cost_usd - fallback.avoidable_usd)} of what the fallback costs is its machine's, which is there in any case: that is not saved.`) : null,
    estimated && shoal.cost_usd > shoal.avoidable_usd ? h("p", { class: "quiet aftermath" }, `${dollars(shoal.cost_usd - shoal.avoidable_usd)} of what this answer cost is a machine's that is there in any case: that is not taken off what is saved.`) : null,
    priceless(shoal, estimated),
    own ? h("p", { class: "quiet aftermath" }, "The fallback itself answered, so there was nothing to save; what this answer took beyond it is the router's work and what failed before.") : null,
    shoal.router_cost_usd === null ? null : h("p", { class: "quiet aftermath" }, `${dollars(shoal.router_cost_usd)} of the money is for the electricity of the router's own work.`),
    h("p", { class: "quiet aftermath" }, `Energy ${shoal.energy_source}; ${waited.first ? `first word after ${waited.first}, ` : ""}all after ${waited.all}.`),
    fallback.assumed_params_b === null ? null : h("p", { class: "warn aftermath" }, assumed(["the fallback", fallback.assumed_params_b])),
    escalated ? h("p", { class: "quiet aftermath" }, `Escalated ${escalated.stage} the answer: ${escalated.from ?? "nobody"} to ${escalated.to}, ${escalated.reason}.`) : null,
    h("p", { class: "quiet aftermath" }, "Request ", h("code", {}, shoal.request_id)),
  ];
}

/** What took energy took carbon, if less than the ledger counts. */
const carbon = ({ co2_g: mass, energy_j: energy }) => (energy && !mass ? `<\u00a0${grams(LEAST_G)}` : grams(mass));

/** Whose price is missing, and the remedy; null where nobody's is. */
function priceless({ cost_usd: usd, decision, escalated, fallback }, estimated) {
  if (usd !== null && !(estimated && fallback.cost_usd === null)) return null;
  const who = usd !== null ? "the fallback" : escalated ? "one who worked on it" : decision.expert;
  return h("p", { class: "quiet aftermath" }, `No price of ${who} is known: give it one in registry.yaml, and money is told too.`);
}

const known = (show, value, otherwise) => (value === null ? otherwise : show(value));

function familiarity({ known, threshold, refused }) {
  const verdict = refused ? "No, so the fallback is asked." : "Yes.";
  return `${verdict} ${percent(known, 1)} of the known requests are as far from the others as this one is from them; under ${percent(threshold, 1)} it would be nobody's.`;
}

/** What changed a probability from where its domain put it. */
function movement(by) {
  const moved = Object.entries(by).filter(([part, value]) => part !== "domain" && Math.abs(value) >= LEAST_SEEN);
  return moved.map(([part, value]) => `${part} ${value > 0 ? "+" : ""}${value.toFixed(3)}`).join(", ");
}

function candidates(decision) {
  const threshold = decision.threshold;
  const rows = decision.candidates.slice(0, 8).map((candidate) => ({
    label: h("span", {}, swatch(tint(candidate.expert), "dot inline"), " ", candidate.expert, candidate.obstacle ? h("span", { class: "quiet" }, ` ${candidate.obstacle}`) : null),
    share: candidate.probability,
    value: percent(candidate.probability, 1),
    tint: tint(candidate.expert),
  }));
  const told = threshold === null || threshold === undefined ? "" : ` (threshold ${percent(threshold, 1)})`;
  const drawn = bars(rows);
  if (threshold !== null && threshold !== undefined) {
    for (const track of drawn.querySelectorAll(".bar")) {
      const mark = h("span", { class: "mark" });
      mark.style.left = `${threshold * 100}%`;
      track.classList.add("marked");
      track.append(mark);
    }
  }
  return block(`Probability that each answers well${told}`, drawn);
}

function nearestList(nearest) {
  return h("ul", { class: "near" }, nearest.map((near) => h("li", {}, h("b", {}, near.similarity.toFixed(2)), h("span", {}, near.input, " ", h("span", { class: "quiet" }, near.label ?? "no expert's")))));
}

function block(title, content) {
  return h("div", { class: "block" }, h("h3", {}, title), content);
}

/** What is really not spent: of money, what leaves a bill. */
const less = (alone, spent) => (spent === null || alone === null ? null : alone - spent);

function verdict(saved) {
  return saved ? (saved > 0 ? "good" : "bad") : "";
}

function compared(saved, of) {
  if (saved === null || of === null) return "unknown";
  if (!of) return saved ? "more" : "nothing";
  return percent(saved / of, 1);
}

function words(change) {
  return typeof change === "string" ? change : (change.told ?? change.text ?? JSON.stringify(change));
}
