// The panels about the choices: who answered, escalations, latency, calibration, break-even, the map, what is loaded.

import { bars } from "./bars.js";
import { Curve } from "./curve.js";
import { h, swatch } from "./dom.js";
import { count, dollars, wattHours, many, memory, moment, number, perDay, percent, seconds } from "./format.js";
import { isFallback, tint, variable } from "./palette.js";
import { Panel } from "./panel.js";
import { mapLegend, reliability, requestMap } from "./scatter.js";

/** Requests of the map that its table lists. */
const LISTED = 50;

export function sharePanel() {
  const panel = new Panel("Who answered");
  const curve = new Curve(panel.picture);
  function show({ series, experts, answered, totals }) {
    const held = totals.savings.routed.held_back.requests;
    panel.update([series.t_s, series.by_expert, experts, held], () => {
      const known = experts.map((expert) => expert.id).filter((id) => series.by_expert[id]);
      const order = [...known, ...Object.keys(series.by_expert).filter((id) => !known.includes(id))];
      const shares = Object.entries(answered.by_expert).map(([id, one]) => `${id} ${percent(one.share)}`);
      panel.say(answered.requests ? `${shares.slice(0, 3).join(", ")} of ${many(answered.requests, "answer")}.${held ? ` ${count(held)} ${held === 1 ? "was" : "were"} held back: the fallback answered, to be compared.` : ""}` : "Nobody has answered yet.");
      curve.draw({
        t: series.t_s,
        step: series.step_s,
        show: (value) => (Number.isInteger(value) ? count(value) : ""),
        lines: order.map((id) => ({ label: id, note: percent(answered.by_expert[id].share), values: series.by_expert[id], tint: variable(id), kind: "column" })),
      });
      panel.rows(["From", ...order], series.t_s.map((t, at) => [moment(t, series.step_s), ...order.map((id) => count(series.by_expert[id][at]))]));
    });
  }
  return { panel, show };
}

export function escalationPanel() {
  const panel = new Panel("Escalations, and why");
  function show({ escalations, totals }) {
    panel.update([escalations, totals.requests], () => {
      if (!escalations.requests) return panel.empty("No request was escalated.", "When no small expert is sure enough, or one fails, the fallback answers and it is counted here.");
      const reasons = Object.values(escalations.by_reason).filter((row) => row.requests);
      const most = Math.max(...reasons.map((row) => row.requests));
      const domains = Object.entries(escalations.by_domain);
      const away = escalations.from_fallback;
      panel.say(`${count(escalations.to_fallback)} of ${many(totals.requests, "request")} (${percent(escalations.share)}) went on to the fallback.${away ? ` For ${count(away)} it failed, and a small expert answered.` : ""}`);
      panel.picture.replaceChildren(
        bars(reasons.map((row) => ({ label: row.told, share: row.requests / most, value: count(row.requests), tint: "var(--series-1)" })), "long"),
        h("h3", { class: "sub" }, "They looked most like"),
        bars(domains.slice(0, 6).map(([name, n]) => ({ label: name, share: n / most, value: count(n), tint: "var(--fallback)" }))),
      );
      panel.rows(["Why, or like what", "Requests"], [...reasons.map((row) => [row.told, count(row.requests)]), ...domains.map(([name, n]) => [`like ${name}`, count(n)])]);
    });
  }
  return { panel, show };
}

export function latencyPanel() {
  const panel = new Panel("How long answers took");
  function show({ latency }) {
    panel.update(latency, () => {
      const rows = Object.entries(latency.rows);
      const since = latency.rows_since_s;
      const gone = "rows before were old and are gone, and no sum tells how long answers took.";
      if (!rows.length) return since === null ? panel.empty("No answers yet.", "Their latency appears with the first one.") : panel.empty("It is not known any more.", `Of answers from ${moment(since)} on none is here: ${gone}`);
      const newest = latency.rows.all.requests === latency.newest ? [`Of the newest ${count(latency.newest)} answers of the period.`] : [];
      panel.note(since === null ? newest : [...newest, `Of answers from ${moment(since)} on: ${gone}`]);
      const longest = Math.max(...rows.map(([, row]) => row.total_s.p95));
      const all = latency.rows.all;
      const first = all.first_byte_s.p50 === null ? "" : `; of streams the first word ${seconds(all.first_byte_s.p50)} after an expert was asked (95\u00a0%: ${seconds(all.first_byte_s.p95)})`;
      panel.say(`Half within ${seconds(all.total_s.p50)}, 95\u00a0% within ${seconds(all.total_s.p95)}, 99\u00a0% within ${seconds(all.total_s.p99)}${first}.`);
      panel.picture.replaceChildren(
        bars(
          rows.map(([who, row]) => ({
            label: who === "all" ? h("b", {}, "all") : h("span", {}, swatch(tint(who), "dot inline"), " ", who),
            share: row.total_s.p95 / longest,
            value: `${seconds(row.total_s.p50)} / ${seconds(row.total_s.p95)}`,
            tint: who === "all" ? "var(--accent)" : tint(who),
          })),
        ),
        h("p", { class: "quiet aftermath" }, "Half of the answers / 95\u00a0% of them ended within so long."),
      );
      panel.rows(
        ["Expert", "Answers", "p50", "p95", "p99", "First word p50", "p95", "p99"],
        rows.map(([who, row]) => [who, count(row.requests), ...["total_s", "first_byte_s"].flatMap((part) => ["p50", "p95", "p99"].map((p) => seconds(row[part][p])))]),
      );
    });
  }
  return { panel, show };
}

const LEFT_OUT = "What was learnt from use is left out: shoal learn list says why, and what to do.";

export function calibrationPanel() {
  const panel = new Panel("Is the judge as sure as it should be?");
  function show({ calibration, left_out: leftOut, learnt }) {
    const found = calibration.n ? calibration : leftOut;
    panel.update([found, learnt], () => {
      const told = learnt.left_out ? [LEFT_OUT] : [];
      if (!found?.n) {
        panel.empty("No feedback yet, and no examples to judge by.", "POST /v1/feedback with a request id and a score from 0 to 1.");
        return panel.note(told);
      }
      panel.note(told);
      const from = calibration.n ? `${many(found.n, "answer")} with feedback` : `no feedback yet; ${count(found.n)} known examples, each judged by a head that had not seen it`;
      panel.say(`Stated and true differ by ${(found.ece * 100).toFixed(1)} points on average (${from}).`);
      panel.picture.replaceChildren(reliability(found));
      panel.rows(
        ["Stated", "Mean stated", "Turned out", "n"],
        found.bins.map((bin) => [`${percent(bin.from)} to ${percent(bin.to)}`, percent(bin.stated, 1), percent(bin.turned_out, 1), count(bin.n)]),
      );
    });
  }
  return { panel, show };
}

export function breakEvenPanel() {
  const panel = new Panel("From when on each expert pays", "full");
  function show({ break_even: found, paying: pays }) {
    panel.update(found, () => {
      const rows = Object.entries(found);
      if (!rows.length) return panel.empty("There is only the fallback.", "Add an expert to registry.yaml; it is live within a second.");
      panel.say(...Object.entries(pays).map(paying), "An expert pays when what its answers save beside the fallback is more than what it holds while nobody asks it.");
      const alike = new Set(rows.map(([, row]) => row.holds)).size === 1 ? rows[0][1].holds : null;
      panel.picture.replaceChildren(
        h("ul", { class: "pays" }, rows.map(([who, row]) => h(
          "li",
          {},
          h("span", { class: "name" }, swatch(tint(who), "dot"), who),
          h("span", { class: "now" }, `at this pace ${perDay(row.requests_per_day)}`),
          h("span", { class: "sides" }, side("energy", row.energy), side("money", row.money)),
          h("span", { class: "quiet" }, `${each(row)}${alike === null ? ` Holds ${row.holds}.` : ""}`),
        ))),
        alike === null ? "" : h("p", { class: "quiet aftermath" }, `Each holds ${alike}.`),
      );
      panel.rows(
        ["Expert", "Of", "Now", "Holds", "An answer saves", "Low", "High", "Pays from", "Low", "High", "Pays", "Told"],
        rows.flatMap(([who, row]) => [
          [who, "energy", ...told(row, row.energy, known(row.idle_w, (value) => `${number(value)} W`), "saved_j", wattHours)],
          [who, "money", ...told(row, row.money, known(row.money.held_usd_per_day, (usd) => `${dollars(usd)} a day`), "saved_usd", dollars)],
        ]),
      );
    });
  }
  return { panel, show };
}

/** A row of the table, but for its first two cells. */
function told({ requests_per_day: now, saved_by: by }, found, holds, name, shown) {
  const [mean, least, most] = ["per_request", "low", "high"].map((which) => found[`${name}_${which}`]);
  const end = (value, as, none = "none") => (value === null ? none : as(value));
  const from = [estimated(found), end(found.needed_low, first), end(found.needed_high, first, found.needed_low === null ? "none" : "never")];
  const pays = found.undecided ? "undecided" : known(found.pays, (yes) => (yes ? "yes" : "no"));
  return [perDay(now), holds, known(mean, shown), end(least, shown), end(most, shown), ...from, pays, by ?? "unknown"];
}

function paying([name, { experts, pay, unknown, undecided }]) {
  if (unknown === experts) return `In ${name} it is unknown. `;
  const rest = Object.entries({ undecided, unknown }).filter(([, many]) => many).map(([word, many]) => `, of ${count(many)} it is ${word}`);
  return `In ${name} ${count(pay)} of ${count(experts)} pay at this pace${rest.join("")}. `;
}

const known = (value, shown) => (value === null ? "unknown" : shown(value));

const first = (needed) => (needed ? perDay(needed) : "the first request");

/** Requests a day from which it pays, without their interval. */
function estimated({ needed_per_day: needed, pays, undecided }) {
  if (needed !== null) return first(needed);
  return pays === null && !undecided ? "unknown" : "never";
}

/** The same with it, in the words of `shoal meter overview`. */
function from(found) {
  const { needed_per_day: needed, needed_low: low, needed_high: high } = found;
  const told = estimated(found);
  if (low === null || (high !== null && !needed)) return told;
  if (needed === null) return `${told} (perhaps from ${first(low)})`;
  if (high !== null) return `${told} (${number(low)} to ${number(high)})`;
  return needed ? `${told} (from ${number(low)}, perhaps never)` : `${told}, perhaps never`;
}

function side(name, found) {
  const mood = found.undecided ? "warn" : found.pays ? "good" : found.pays === false ? "bad" : "";
  const when = from(found);
  const lead = found.undecided ? "undecided, " : "";
  return h("span", { class: `chip ${mood}` }, `${name}: ${lead}${found.needed_per_day === null ? when : `pays from ${when}`}`);
}

/** What one of its answers saves, in both; or why that is not known. */
function each({ energy, money, saved_by: by }) {
  if (energy.saved_j_per_request === null) return `${energy.unknown[0].toUpperCase()}${energy.unknown.slice(1)}.`;
  const told = [[energy, "saved_j", wattHours], [money, "saved_usd", dollars]].map(([found, name, shown]) => saves(found, name, shown)).filter(([value]) => value !== null);
  const alike = told.every(([value]) => value >= 0);
  const saved = alike ? `saves ${told.map(([, text]) => text).join(" and ")}` : told.map(([value, text]) => (value < 0 ? `takes ${text} more` : `saves ${text}`)).join(" and ");
  const why = Object.entries({ energy, money }).filter(([, side]) => side.unknown).map(([name, side]) => `${name} unknown: ${side.unknown}`);
  return `An answer ${[`${saved}, ${by}`, ...why].join("; ")}.`;
}

/** What it saves, and that without its sign and with its interval where it has one. */
function saves(found, name, shown) {
  const [value, ...ends] = ["per_request", "low", "high"].map((which) => found[`${name}_${which}`]);
  const own = (amount) => shown(value < 0 ? -amount : amount);
  const [from, to] = value < 0 ? ends.reverse() : ends;
  return [value, value === null ? "" : `${own(value)}${from === null ? "" : ` (${own(from)} to ${own(to)})`}`];
}

export function mapPanel() {
  const panel = new Panel("Map of recent requests");
  function show({ map }) {
    panel.update(map, () => {
      if (!map?.requests.length) return panel.empty("No vector of a routed request is kept.", "Requests to model auto appear here by their vector, without their text: after a restart too, unless the registry keeps no vectors.");
      panel.say(`The last ${many(map.shown, "routed request")} by meaning: what is near is alike. Drawn from vectors, no text is kept.${map.shown > LISTED ? ` The table lists the latest ${LISTED} of them.` : ""}`);
      panel.picture.replaceChildren(mapLegend(map), requestMap(map));
      panel.rows(
        ["Expert", "x", "y", "Escalated"],
        [...map.domains.map((d) => [`centre of ${d.label}`, d.x, d.y, ""]), ...[...map.requests].reverse().slice(0, LISTED).map((r) => [r.expert, r.x, r.y, r.escalated ? "yes" : "no"])].map((row) => row.map(String)),
      );
    });
  }
  return { panel, show };
}

export function loadedPanel() {
  const panel = new Panel("What is loaded", "full");
  function show({ loaded, experts }) {
    panel.update([loaded, experts], () => {
      const told = Object.fromEntries(experts.map((expert) => [expert.id, expert]));
      const rows = Object.entries(loaded.experts);
      panel.say(`${count(loaded.ready)} of ${count(loaded.known)} experts loaded; ${memory(loaded.declared_mb)} of the budget of ${memory(loaded.budget_mb)} taken. The router itself has ${memory(loaded.router.resident_mb)} resident.`);
      panel.picture.replaceChildren(h("div", { class: "experts-loaded" }, rows.map(([id, one]) => card(id, one, told[id]))));
      panel.rows(
        ["Expert", "State", "Declared", "Where", "In flight", "Waiting"],
        rows.map(([id, one]) => [id, state(one), memory(one.declared_mb), place(one, told[id], "none"), count(one.in_flight), count(one.waiting)]),
      );
    });
  }
  return { panel, show };
}

const QUIET = { cold: "not loaded", loading: "loading" };

function state(one) {
  if (one.loaded) return "ready";
  return QUIET[one.state] ?? (one.state === "open" ? "failing, left alone" : one.state);
}

/** Where it works, and what that takes: on a server of its own, in a process of its own, or in the router's. */
function place(one, told, nowhere) {
  if (told?.at) return `at ${told.at}`;
  if (one.resident_mb !== null) return `${memory(one.resident_mb)} resident`;
  return told?.kind === "llama_cpp" || !one.loaded ? nowhere : "in the router";
}

function card(id, one, told) {
  const mood = one.loaded ? "good" : one.state in QUIET ? "" : "bad";
  const size = told?.params_b ? `${number(told.params_b)} billion parameters` : null;
  const where = place(one, told, null);
  const busy = one.in_flight ? `${count(one.in_flight)} in flight` : null;
  return h(
    "div",
    { class: "expert-card" },
    h("div", { class: "name" }, swatch(tint(id), "dot"), id, h("span", { class: `chip ${mood}` }, state(one))),
    h("p", {}, told?.description ?? ""),
    h("p", {}, [isFallback(id) ? "fallback" : null, told?.kind, size, where, busy].filter(Boolean).join(" · ")),
  );
}
