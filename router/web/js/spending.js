// The panels about money, energy and carbon: what was saved, what was spent, where a figure comes from.

import { stack } from "./bars.js";
import { Curve } from "./curve.js";
import { h, swatch } from "./dom.js";
import { MEASURES, count, joules, moment, percent } from "./format.js";
import { variable } from "./palette.js";
import { Panel, segments } from "./panel.js";

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
  let data = null;
  const of = measured(panel, () => data && show(data));
  function show(found) {
    data = found;
    const what = of();
    const { series, savings } = found;
    panel.update([what, series.t_s, savings], () => {
      const share = savings[what].share;
      const last = share[share.length - 1];
      const verdict = last === null ? "The fallback alone would have taken nothing that could be saved" : `${percent(last)} of ${MEASURES[what].label.toLowerCase()} saved since the period began`;
      const [low, high] = [savings[what].low, savings[what].high];
      const sure = low && high ? `, 95 % interval ${percent(low.at(-1))} to ${percent(high.at(-1))}` : "";
      panel.say(`${verdict}${sure}. `, h("span", { class: "chip warn" }, savings.status));
      const lines = [{ label: "saved so far", values: share, tint: "--accent", kind: low ? "line" : "area" }];
      if (low && high) lines.push({ label: "upper bound", values: high, tint: "--accent", kind: "edge" }, { label: "lower bound", values: low, tint: "--accent", kind: "edge" });
      curve.draw({ t: series.t_s, step: series.step_s, lines, band: low ? [2, 3] : null, show: (value) => percent(value) });
      panel.rows(
        ["From", "Saved so far", ...(low ? ["Low", "High"] : [])],
        series.t_s.map((t, at) => [moment(t, series.step_s), percent(share[at], 1), ...(low ? [percent(low[at], 1), percent(high[at], 1)] : [])]),
      );
    });
  }
  return { panel, show };
}

export function spendingPanel() {
  const panel = new Panel("Spent, beside the fallback alone");
  const curve = new Curve(panel.picture);
  let data = null;
  const of = measured(panel, () => data && show(data));
  function show(found) {
    data = found;
    const measure = MEASURES[of()];
    const { series, totals } = found;
    panel.update([measure.column, series.t_s, series.spent, series.fallback], () => {
      const [spent, alone] = [series.spent[measure.column], series.fallback[measure.column]];
      panel.say(`${measure.show(totals[measure.column])} really spent, ${measure.show(totals.counterfactual[measure.column])} by the fallback alone, as an estimate.`);
      curve.draw({
        t: series.t_s,
        step: series.step_s,
        show: measure.show,
        axis: measure.axis,
        lines: [
          { label: "really spent", values: spent, tint: "--accent", kind: "area" },
          { label: "fallback alone (estimate)", values: alone, tint: "--fallback", kind: "dash" },
        ],
      });
      panel.rows(["From", "Really spent", "Fallback alone"], series.t_s.map((t, at) => [moment(t, series.step_s), measure.show(spent[at]), measure.show(alone[at])]));
    });
  }
  return { panel, show };
}

export function sourcesPanel() {
  const panel = new Panel("Where the energy figures come from", "third");
  function show({ totals }) {
    panel.update([totals.energy_by_method, totals.router], () => {
      const mix = totals.energy_by_method;
      const whole = Object.values(mix).reduce((sum, value) => sum + value, 0);
      const rows = Object.entries(SOURCES).map(([name, [tint, told]]) => ({ name, told, tint: `var(${tint})`, value: mix[name] ?? 0 }));
      const found = rows.filter((row) => row.value > 0).map((row) => `${percent(row.value / whole)} ${row.name}`);
      panel.say(whole ? `${joules(whole)} in all: ${found.join(", ")}.` : "No energy is in the ledger yet.");
      panel.picture.replaceChildren(
        stack(rows.map((row) => ({ share: whole ? row.value / whole : 0, tint: row.tint }))),
        h("div", { class: "parts" }, rows.map((row) => h("div", { class: "part" }, swatch(row.tint), h("b", {}, row.name), h("span", {}, joules(row.value)), h("p", { class: "quiet" }, row.told)))),
        h("p", { class: "quiet aftermath" }, `The router's own work took ${joules(totals.router.energy_j)} of it.`),
      );
      panel.rows(["Source", "Energy"], rows.map((row) => [row.name, joules(row.value)]));
    });
  }
  return { panel, show };
}

export function sharePanel() {
  const panel = new Panel("Who answered");
  const curve = new Curve(panel.picture);
  function show({ series, experts }) {
    panel.update([series.t_s, series.by_expert, experts], () => {
      const known = experts.map((expert) => expert.id).filter((id) => series.by_expert[id]);
      const order = [...known, ...Object.keys(series.by_expert).filter((id) => !known.includes(id))];
      const sums = Object.fromEntries(order.map((id) => [id, series.by_expert[id].reduce((sum, value) => sum + value, 0)]));
      const whole = Object.values(sums).reduce((sum, value) => sum + value, 0);
      const ranked = [...order].sort((a, b) => sums[b] - sums[a]);
      panel.say(whole ? `${ranked.slice(0, 3).map((id) => `${id} ${percent(sums[id] / whole)}`).join(", ")} of ${count(whole)} answers.` : "Nobody has answered yet.");
      curve.draw({
        t: series.t_s,
        step: series.step_s,
        show: (value) => (Number.isInteger(value) ? count(value) : ""),
        lines: order.map((id) => ({ label: id, note: percent(sums[id] / whole), values: series.by_expert[id], tint: variable(id), kind: "column" })),
      });
      panel.rows(["From", ...order], series.t_s.map((t, at) => [moment(t, series.step_s), ...order.map((id) => count(series.by_expert[id][at]))]));
    });
  }
  return { panel, show };
}
