// The dashboard: asks for the figures of a period every few seconds and gives them to the panels.

import { askAgain, askJson, told, wantsKey } from "./access.js";
import { byId, h } from "./dom.js";
import { atLeast, count, dollars, grams, interval, joules, many, percent, places } from "./format.js";
import { learnExperts } from "./palette.js";
import { segments } from "./panel.js";
import { breakEvenPanel, calibrationPanel, escalationPanel, latencyPanel, loadedPanel, mapPanel } from "./routing.js";
import { savingsPanel, sharePanel, sourcesPanel, spendingPanel } from "./spending.js";

const EVERY_MS = 5000;
const MINUTE_MS = 60_000;
const PATIENCE_MS = 1500;
const LONGEST_MS = 120_000;
const LONG = 8;
const WAITING = "Reading the ledger. After an upgrade this takes longer, until its hours are added up again.";
const PERIODS = [
  ["hour", "1 h", 60],
  ["day", "24 h", 1440],
  ["week", "7 d", 10_080],
  ["month", "30 d", 43_200],
  ["all", "All", null],
];

const MOODS = { published: "good", provisional: "warn", "estimate, unverified": "warn" };

const panels = [
  savingsPanel(), sourcesPanel(), spendingPanel(), sharePanel(), escalationPanel(), latencyPanel(), mapPanel(),
  calibrationPanel(), breakEvenPanel(), loadedPanel(),
];
let chosen = PERIODS.some(([name]) => `#${name}` === location.hash) ? location.hash.slice(1) : "all";
let latest = 0;
let underWay = 0;
let drawn = null;
let shownAt = null;
let locked = false;
let lastTile = "";

function address() {
  const minutes = PERIODS.find(([name]) => name === chosen)[2];
  if (minutes === null) return "/v1/dashboard";
  // To the minute, so that everyone who watches asks for the same.
  const from = new Date(Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - minutes * MINUTE_MS);
  return `/v1/dashboard?from=${from.toISOString().slice(0, 19)}Z`;
}

async function refresh() {
  const mine = (latest += 1);
  underWay += 1;
  const [period, before] = [chosen, byId("period-told").textContent];
  const slow = setTimeout(() => mine === latest && period !== drawn && wait(), PATIENCE_MS);
  try {
    const found = await askJson(address(), undefined, LONGEST_MS);
    if (mine === latest) {
      drawn = period;
      show(found);
    }
  } catch (error) {
    locked = wantsKey(error);
    if (mine === latest) {
      byId("period-told").textContent = before === WAITING ? "" : before;
      complain(error);
    }
  } finally {
    underWay -= 1;
    clearTimeout(slow);
  }
}

function wait() {
  if (!document.querySelector("dialog")) byId("period-told").textContent = WAITING;
}

function show(found) {
  learnExperts(found.experts);
  byId("notice").hidden = true;
  shownAt = new Date(found.made_at).toLocaleTimeString("en-GB");
  byId("freshness").textContent = `as of ${shownAt}`;
  byId("version").textContent = `Registry ${found.registry_version}.`;
  const begin = new Date(found.period.from_s * 1000);
  const { requests, adding_up: behind, only_in_sums: gone } = found.totals;
  const slow = behind ? `. Adding up the past: ${count(behind.hours)} of ${count(behind.of)} hours; until then these figures take longer.` : "";
  const summed = gone ? `. Of ${count(gone)} of them only sums are left: their rows were old and are gone` : "";
  byId("period-told").textContent = `${requests ? many(requests, "request") : "No requests"} since ${begin.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}${summed}${slow}`;
  tiles(found);
  const some = found.totals.requests > 0;
  const shown = some ? panels : panels.slice(-1);
  place([...(some ? [] : [welcome()]), ...shown.map((each) => each.panel.element)]);
  shown.forEach((each) => each.show(found));
  document.documentElement.dataset.ready = found.made_at;
}

function place(elements) {
  const host = byId("panels");
  if (host.children.length !== elements.length) host.replaceChildren(...elements);
}

function tiles({ totals, savings, experts }) {
  const { share, low, high } = savings.energy;
  const of = totals.savings;
  const ends = low ? [low.at(-1), high.at(-1)] : null;
  const within = ends ? `; 95\u00a0% interval ${interval(...ends, 0)}` : "";
  const saved = `${joules(of.energy_j, of.counterfactual.energy_j)} of ${joules(of.counterfactual.energy_j)}, routed requests${within}${Object.keys(totals.counterfactual.assumed_params_b).length ? "; the fallback's size is assumed" : ""}`;
  const escalated = totals.escalated.before + totals.escalated.after;
  const some = totals.requests > 0;
  const shown = [
    ["Energy saved", some ? percent(share.at(-1), ends ? places(...ends, 0) : 0) : "–", some ? saved : "nothing to compare yet", some ? savings.status : null],
    ["Requests", count(totals.requests), `${count(escalated)} escalated, ${count(totals.unanswered)} unanswered`],
    ["Money spent", spent(totals), `${money(totals, experts)}${missing(totals)}`],
    ["Carbon", atLeast(totals.unmetered.requests, grams(totals.co2_g)), `fallback alone ${grams(of.counterfactual.co2_g)}, ${grams(of.spent.co2_g, of.counterfactual.co2_g)} spent on the same`, some ? `SCI ${grams(totals.sci.per_request)} a request` : null],
  ];
  const state = JSON.stringify(shown);
  if (state === lastTile) return;
  lastTile = state;
  byId("tiles").replaceChildren(...shown.map(([title, figure, under, chip]) => h(
    "section",
    { class: "tile" },
    h("h3", {}, title),
    h("p", { class: figure.length > LONG ? "figure long" : "figure" }, figure),
    h("p", { class: "under" }, under),
    chip ? h("p", { class: "foot-chip" }, h("span", { class: `chip ${MOODS[chip] ?? ""}` }, chip)) : null,
  )));
}

/** Money as far as there are prices: what has none is never called free. */
function spent(totals) {
  const unpriced = totals.no_price.length;
  if (unpriced && !totals.cost_usd) return "no price";
  return atLeast(unpriced || totals.unmetered.requests, dollars(totals.cost_usd));
}

/** That what some requests took is missing in all sums. */
function missing({ unmetered: { requests } }) {
  return requests ? `; without ${many(requests, "request")} under way when the server died, unknown` : "";
}

function money(totals, experts) {
  const fallback = experts.find((expert) => expert.fallback);
  const { counterfactual: { cost_usd: usd }, spent: { cost_usd: same }, cost_usd: saved, allocated_usd: allocated, fallback_bill_avoided: bill, priced_part: part } = totals.savings;
  const known = usd === null ? (fallback?.priced ? "the fallback had no price at some time" : "the fallback has no price") : `fallback alone ${dollars(usd)}, ${same === null ? "an unknown amount" : dollars(same)} spent on the same`;
  const avoided = saved === null ? `its bill avoided ${dollars(bill.usd)} before what your own machines cost` : saved < 0 ? `${dollars(-saved)} more really paid` : `saved ${dollars(saved)}`;
  const paper = (saved === null ? bill.allocated_usd : allocated) ? `, ${dollars(saved === null ? bill.allocated_usd : allocated)} on paper only` : "";
  const alone = usd === null ? known : `${known}, ${avoided}${paper}`;
  const others = totals.no_price.filter((name) => name !== fallback?.id);
  const some = part?.requests ? `${alone}; saved ${dollars(part.cost_usd)} on the ${count(part.requests)} of ${count(part.of)} of which all money is known` : alone;
  if (!others.length) return some;
  return `${some}; no price for ${others.length > 3 ? `${count(others.length)} others` : others.join(", ")}`;
}

function welcome() {
  const body = '{"model": "auto", "messages": [{"role": "user", "content": "How do I add an expert?"}]}';
  const command = `curl -s ${location.origin}/v1/chat/completions \\\n  -H 'content-type: application/json' \\\n  -d '${body}'`;
  return h(
    "section",
    { class: "panel welcome" },
    h("h2", {}, "No requests in this period"),
    h("p", { class: "quiet" }, "Send one from the ", h("a", { href: "/playground" }, "playground"), ", or with any OpenAI client:"),
    h("pre", { tabindex: "0" }, command),
  );
}

function complain(error) {
  const notice = byId("notice");
  const message = `${told(error)}${shownAt ? ` What is shown is as of ${shownAt}.` : ""}`;
  if (notice.hidden || notice.firstChild?.textContent !== message) {
    notice.replaceChildren(message, wantsKey(error) ? h("button", { class: "button", type: "button", onclick: unlock }, "Use a key") : "");
  }
  notice.hidden = false;
}

function unlock() {
  askAgain();
  refresh();
}

/** Looks again, unless a look is under way or there is no key to look with. */
function watch() {
  if (document.visibilityState === "visible" && !underWay && !locked) refresh();
}

segments(byId("periods"), PERIODS, chosen, (name) => {
  chosen = name;
  history.replaceState(null, "", `#${name}`);
  refresh();
});
setInterval(watch, EVERY_MS);
document.addEventListener("visibilitychange", watch);
refresh();
