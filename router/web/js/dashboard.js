// The dashboard: asks for the figures of a period every few seconds and gives them to the panels.

import { askAgain, askJson, told, wantsKey } from "./access.js";
import { byId, h } from "./dom.js";
import { count, many } from "./format.js";
import { learnExperts } from "./palette.js";
import { segments } from "./panel.js";
import { breakEvenPanel, calibrationPanel, escalationPanel, latencyPanel, loadedPanel, mapPanel, sharePanel } from "./routing.js";
import { savingsPanel, sourcesPanel, spendingPanel } from "./spending.js";
import { tile, tiles } from "./tiles.js";

const EVERY_MS = 5000;
const MINUTE_MS = 60_000;
const PATIENCE_MS = 1500;
const LONGEST_MS = 120_000;
const CHANGES_INLINE = 2;
const CHANGED = "What is charged changed within this period";
const WAITING = "Reading the ledger. After an upgrade this takes longer, until its hours are added up again.";
const PERIODS = [
  ["hour", "1 h", 60],
  ["day", "24 h", 1440],
  ["week", "7 d", 10_080],
  ["month", "30 d", 43_200],
  ["all", "All", null],
];

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
  byId("period-told").textContent = periodTold(found);
  foldChanges(found.totals.changed);
  headline(found);
  const some = found.totals.requests > 0;
  const shown = some ? panels : panels.slice(-1);
  place([...(some ? [] : [welcome()]), ...shown.map((each) => each.panel.element)]);
  shown.forEach((each) => each.show(found));
  document.documentElement.dataset.ready = found.made_at;
}

/** Of which requests the page tells, and what is not in its sums. */
function periodTold({ period, totals }) {
  const { requests, escalated, unanswered, unmetered, unheard, changed, adding_up: behind, only_in_sums: gone } = totals;
  if (!requests && chosen === "all") return "No requests yet.";
  const since = `since ${new Date(period.from_s * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`;
  if (!requests) return `No requests ${since}.`;
  const lost = unmetered.requests;
  return [
    `${many(requests, "request")} ${since}: ${count(escalated.before + escalated.after)} escalated, ${count(unanswered)} unanswered.`,
    lost ? `What ${many(lost, "request")} under way when the server died took is unknown, and in no sum.` : "",
    unheard ? `What was written by ${many(unheard, "answer")} whose client left before the first word is unknown, and in no sum.` : "",
    changed.length && changed.length <= CHANGES_INLINE ? `${CHANGED}: ${changed.map((each) => each.told).join("; ")}.` : "",
    gone ? `Of ${count(gone)} only sums are left: their rows were old and are gone.` : "",
    behind ? `Adding up the past: ${count(behind.hours)} of ${count(behind.of)} hours; until then these figures take longer.` : "",
  ].filter(Boolean).join(" ");
}

/** Many are folded: who opens the page looks for what was saved, and on a phone they would fill the first screen. */
function foldChanges(changed) {
  const folded = byId("changed");
  folded.hidden = changed.length <= CHANGES_INLINE;
  const [summary, list] = folded.children;
  summary.textContent = `What is charged changed ${count(changed.length)} times within this period`;
  if (list.children.length !== changed.length || list.lastChild?.textContent !== changed.at(-1)?.told) {
    list.replaceChildren(...changed.map((each) => h("li", {}, each.told)));
  }
}

function place(elements) {
  const host = byId("panels");
  if (host.children.length !== elements.length) host.replaceChildren(...elements);
}

function headline(found) {
  const shown = found.totals.requests ? tiles(found) : [];
  const state = JSON.stringify(shown);
  if (state === lastTile) return;
  lastTile = state;
  byId("tiles").replaceChildren(...shown.map(tile));
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
