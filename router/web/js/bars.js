// Bars that lie: a label, a bar, a figure.

import { h, tinted } from "./dom.js";

/** `rows`: [{ label, share, value, tint }], `share` of the longest bar from 0 to 1. */
export function bars(rows, kind = "") {
  const cells = rows.flatMap((row) => [
    h("div", { class: "label" }, row.label),
    h("div", { class: "bar" }, bar(row.share, row.tint)),
    h("div", { class: "value" }, row.value),
  ]);
  return h("div", { class: `bars ${kind}`.trim() }, cells);
}

/** One bar of several parts: [{ share, tint }]. */
export function stack(parts) {
  return h("div", { class: "stack" }, parts.filter((part) => part.share > 0).map((part) => bar(part.share, part.tint)));
}

function bar(share, tint) {
  const fill = tinted(h("span", { class: "bar-fill" }), tint);
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return fill;
}
