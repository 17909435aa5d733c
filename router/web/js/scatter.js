// Two pictures with places: the map of requests, and stated probability against what turned out.

import { h, s, swatch } from "./dom.js";
import { percent } from "./format.js";
import { tint } from "./palette.js";

const ROOM = [560, 440];
const PHONE = [330, 300];
const LONGEST = 22;
const LINE = 14;
const LETTER = 7;
const FEW = 10;

/** Requests as dots, rings where they were escalated; domains by name at their centre. */
export function requestMap(map) {
  const all = [...map.domains, ...map.requests];
  // Drawn for the room it has: shrunk to a phone's, names would be half as large as the words beside them.
  const [wide, high] = matchMedia("(max-width: 35em)").matches ? PHONE : ROOM;
  const place = fitted(all, wide, high);
  const dots = map.requests.map((request, at) => {
    const [x, y] = place(request);
    const fresh = 0.35 + (0.6 * (at + 1)) / map.requests.length;
    const paint = request.escalated ? { fill: "none", "stroke-width": 2 } : { "fill-opacity": fresh, "stroke-width": 0 };
    const dot = s("circle", { cx: x, cy: y, r: request.escalated ? 4.5 : 5, ...paint }, s("title", {}, `${request.expert}${request.escalated ? ", escalated" : ""}`));
    dot.style.stroke = tint(request.expert);
    if (!request.escalated) dot.style.fill = tint(request.expert);
    return dot;
  });
  const names = apart(map.domains.map((domain) => {
    const [x, y] = place(domain);
    return { x, y, label: domain.label, text: domain.label.length > LONGEST ? `${domain.label.slice(0, LONGEST)}…` : domain.label };
  })).map(({ x, y, at, label, text }) =>
    s("g", {}, cross(x, y), s("title", {}, label), s("text", { class: "name", x, y: at, "text-anchor": anchor(x, (text.length * LETTER) / 2, wide) }, text)),
  );
  return s("svg", { class: "chart map", viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true" }, s("rect", { class: "grid", x: 0.5, y: 0.5, width: wide - 1, height: high - 1, rx: 10, fill: "none" }), dots, names);
}

export function mapLegend(map) {
  const experts = [...new Set(map.requests.map((request) => request.expert))].sort();
  const rings = map.requests.some((request) => request.escalated);
  return h(
    "ul",
    { class: "legend" },
    experts.map((expert) => h("li", {}, swatch(tint(expert), "dot"), expert)),
    rings ? h("li", {}, swatch("var(--quiet)", "ring"), "ring: escalated") : null,
  );
}

/** Bins as bubbles whose area is their share; on the dashed line a judge is exactly as sure as it should be. */
export function reliability(found) {
  const [left, top, size] = [62, 8, 250];
  const x = (share) => left + share * size;
  const y = (share) => top + size - share * size;
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const most = Math.max(...found.bins.map((bin) => bin.n));
  return s(
    "svg",
    { class: "chart reliability", viewBox: "0 0 330 308", "aria-hidden": "true" },
    ticks.map((tick) => [
      s("line", { class: "grid", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
      s("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, percent(tick)),
      s("text", { x: x(tick), y: y(0) + 18, "text-anchor": "middle" }, percent(tick)),
    ]).flat(),
    s("text", { x: x(0.5), y: y(0) + 38, "text-anchor": "middle" }, "how sure the judge was"),
    s("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    s("text", { class: "axis-name", transform: `translate(10 ${y(0.5)}) rotate(-90)`, "text-anchor": "middle" }, "how often it was right"),
    s("polyline", { class: "curve", points: found.bins.filter((bin) => bin.n >= FEW).map((bin) => `${x(bin.stated)},${y(bin.turned_out)}`).join(" ") }),
    found.bins.map((bin) =>
      s("circle", { class: "bubble", cx: x(bin.stated), cy: y(bin.turned_out), r: 4 + 7 * Math.sqrt(bin.n / most) }, s("title", {}, `${percent(bin.stated)} sure, ${percent(bin.turned_out)} right, n ${bin.n}`)),
    ),
  );
}

/** Names of near domains one below the other: each gets the first free line at or below its place. */
function apart(names) {
  const placed = [];
  for (const name of [...names].sort((a, b) => a.y - b.y)) {
    let at = name.y - 9;
    const near = placed.filter((one) => Math.abs(one.x - name.x) < ((one.text.length + name.text.length) * LETTER) / 2);
    while (near.some((one) => Math.abs(one.at - at) < LINE)) at += 1;
    placed.push({ ...name, at });
  }
  return placed;
}

/** From which side a name is written, so that none is cut off. */
function anchor(x, half, wide) {
  return x > wide - half ? "end" : x < half ? "start" : "middle";
}

function cross(x, y) {
  const line = s("path", { d: `M${x - 4} ${y}h8M${x} ${y - 4}v8`, fill: "none", "stroke-width": 2 });
  line.style.stroke = "var(--ink)";
  return line;
}

function fitted(points, wide, high) {
  const across = points.map((point) => point.x);
  const up = points.map((point) => point.y);
  const [x0, x1, y0, y1] = [Math.min(...across), Math.max(...across), Math.min(...up), Math.max(...up)];
  const scale = Math.min((wide - 90) / (x1 - x0 || 1), (high - 60) / (y1 - y0 || 1));
  return (point) => [wide / 2 + (point.x - (x0 + x1) / 2) * scale, high / 2 + 6 - (point.y - (y0 + y1) / 2) * scale];
}
