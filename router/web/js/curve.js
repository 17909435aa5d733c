// Curves and columns over time, drawn by uPlot; a tip follows the pointer, a legend stands above.

import { h, swatch } from "./dom.js";
import { atLeast, clock, date, DAY_S, moment } from "./format.js";
import { colour } from "./theme.js";

const HEIGHT = 230;
const NARROW = 400;
const STEPS_S = [60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S, 30 * DAY_S, 90 * DAY_S];

/**
 * Draws into `host`. `view`: { t, step, lines: [{ label, values, tint, kind, note }], show, axis, band, unknown }.
 * `tint` is the name of a CSS variable, `kind` one of area, line, dash and column; columns are stacked. Where `gaps` is
 * set, what is null is unknown, and no line is drawn across it. Where `least` has a number but 0, more may be true.
 * Where all is `unknown`, that is said and nothing drawn.
 */
export class Curve {
  constructor(host) {
    this.plot = null;
    this.view = null;
    this.legend = h("ul", { class: "legend" });
    this.box = h("div", { class: "plot" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.box.append(this.tip);
    this.none = h("p", { class: "empty", hidden: true }, "Of this too little is known to draw it.");
    host.append(this.legend, this.box, this.none);
    new ResizeObserver(() => this.resize()).observe(this.box);
    addEventListener("shoal-theme", () => this.view && this.draw(this.view));
  }

  draw(view) {
    this.view = view;
    this.plot?.destroy();
    this.plot = null;
    this.tip.hidden = true;
    this.none.hidden = !view.unknown;
    this.legend.hidden = this.box.hidden = Boolean(view.unknown);
    if (view.unknown) return;
    const shown = view.lines.filter((line) => line.kind !== "edge").map((line) => legendItem(line));
    if (view.band) shown.push(h("li", {}, swatch("var(--accent)", "band"), "95\u00a0% interval"));
    this.legend.replaceChildren(...shown);
    this.plot = new uPlot(this.options(view), [view.t, ...stacked(view.lines)], this.box);
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  options(view) {
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const few = view.t.length < 3;
    return {
      width: this.box.clientWidth || 300,
      height: HEIGHT,
      tzDate: calendar(view),
      padding: [10, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { setScale: false, x: false, y: false } },
      scales: { x: { time: true, range: () => ends(view) }, y: { range: (_, low, high) => range(low, high) } },
      axes: [
        { ...axis, grid: { show: false }, gap: 9, size: 34, space: this.box.clientWidth < NARROW ? 44 : 84, incrs: STEPS_S.filter((step) => step >= view.step), values: (_, ticks) => ticks.map((tick) => tickLabel(tick, view)) },
        { ...axis, size: 66, values: (_, ticks) => (view.axis ? view.axis(ticks) : ticks.map((tick) => view.show(tick))) },
      ],
      series: [{}, ...view.lines.map((line) => series(line, few))],
      bands: view.band ? [{ series: view.band, fill: faint(colour("--accent", true), 0.16) }] : [],
      hooks: { setCursor: [(plot) => this.point(plot)] },
    };
  }

  point(plot) {
    const at = plot.cursor.idx;
    this.tip.hidden = at === null || at === undefined || plot.cursor.left < 0;
    if (this.tip.hidden) return;
    const view = this.view;
    const rows = view.lines
      .filter((line) => line.values[at] !== null && (line.kind !== "column" || line.values[at]))
      .map((line) => h("div", {}, swatch(`var(${line.tint})`), `${line.label}: ${atLeast(line.least?.[at], view.show(line.values[at]))}`));
    this.tip.replaceChildren(h("div", {}, moment(view.t[at], view.step)), ...rows);
    const over = plot.over.getBoundingClientRect();
    const left = plot.over.offsetLeft + plot.cursor.left;
    const right = plot.cursor.left > over.width / 2;
    const beside = right ? left - this.tip.offsetWidth - 12 : left + 12;
    this.tip.style.left = `${Math.max(0, Math.min(beside, this.box.clientWidth - this.tip.offsetWidth))}px`;
    this.tip.style.top = "14px";
  }
}

function series(line, few) {
  const stroke = colour(line.tint, true); // as in the legend
  if (line.kind === "column") {
    return { label: line.label, fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.86, 46], align: 1 }), points: { show: false } };
  }
  return {
    label: line.label,
    stroke,
    width: line.kind === "edge" ? 0 : 2,
    dash: line.kind === "dash" ? [6, 5] : undefined,
    fill: line.kind === "area" ? faint(stroke, 0.14) : undefined,
    points: { show: (few || Boolean(line.gaps)) && line.kind !== "edge", size: few ? 8 : 4, fill: stroke },
    spanGaps: !line.gaps,
  };
}

/** Columns stand on each other: the first line is drawn last, so that what it covers is right. */
function stacked(lines) {
  if (!lines.some((line) => line.kind === "column")) return lines.map((line) => line.values);
  const sums = lines[0].values.map(() => 0);
  const tops = [...lines].reverse().map((line) => line.values.map((value, at) => (sums[at] += value)));
  return tops.reverse();
}

function legendItem(line) {
  const shape = { column: "", area: "line", line: "line", dash: "dash" }[line.kind];
  return h("li", {}, swatch(`var(${line.tint})`, shape), line.label, line.note ? h("b", {}, line.note) : null);
}

/** From the first step's start to the last one's end, so that the last column has room. */
function ends(view) {
  const columns = view.lines.some((line) => line.kind === "column");
  const last = view.t.at(-1);
  return [view.t[0], columns || view.t.length === 1 ? last + view.step : last];
}

/** Of whole days their names in UTC, as reports have them; else this browser's times and, at its midnights, days. */
function tickLabel(tick, view) {
  if (view.step >= DAY_S) return moment(tick, view.step);
  const when = new Date(tick * 1000);
  const midnight = when.getHours() === 0 && when.getMinutes() === 0;
  return view.t.at(-1) - view.t[0] < DAY_S || !midnight ? clock(when) : date(when);
}

/** The calendar that ticks are laid by. */
const calendar = (view) => (tick) => (view.step >= DAY_S ? uPlot.tzDate(new Date(tick * 1000), "UTC") : new Date(tick * 1000));

function range(low, high) {
  if (low === null || high === null) return [0, 1];
  const least = Math.min(0, low);
  const most = Math.max(0, high);
  const room = (most - least || 1) * 0.06;
  return [least < 0 ? least - room : 0, most > 0 || least === 0 ? most + room : 0];
}

function faint(rgb, alpha) {
  const parts = rgb.match(/[\d.]+/g).slice(0, 3);
  return rgb.startsWith("color(") ? rgb : `rgba(${parts.join(",")},${alpha})`;
}

