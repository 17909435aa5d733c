// A small part of Markdown as elements: code, headings, lists, bold and italic. Text goes in as text, no markup is ever
// parsed; links, images, tables and HTML stay as they are written.

import { h } from "./dom.js";

const FENCE = /^( *)(`{3,}|~{3,}) *[\w+#.-]* *$/;
const HEADING = /^(#{1,6}) +(.*\S) *$/;
const ITEM = /^( *)(?:[-*+]|(\d{1,9})[.)]) +(.*)$/;
const MARKED = /(`+)([^`](?:.*?[^`])?)\1(?!`)|\*\*(?=[^\s*])(.*?[^\s*])\*\*(?!\*)|\*(?=[^\s*])([^*]*[^\s*])\*(?!\*)/g;

/** A line longer than this is left as it is: looking for marks in it would take too long. */
const LONGEST = 4000;

/** The elements of an answer. */
export function rendered(text) {
  return blocks(text.split(/\r?\n/));
}

function blocks(lines) {
  const found = [];
  for (let at = 0; at < lines.length; ) {
    const [element, next] = fence(lines, at) ?? heading(lines, at) ?? list(lines, at) ?? paragraph(lines, at);
    if (element) found.push(element);
    at = next;
  }
  return found;
}

/** Code between two fences; up to the end, while the second is yet to come. */
function fence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  const [, room, mark] = open;
  const closes = (line) => line.trim().startsWith(mark) && !line.trim().replaceAll(mark[0], "");
  let end = at + 1;
  while (end < lines.length && !closes(lines[end])) end += 1;
  const code = lines.slice(at + 1, end).map((line) => (line.startsWith(room) ? line.slice(room.length) : line.trimStart()));
  return [h("pre", { tabindex: "0" }, h("code", {}, code.join("\n"))), end + 1];
}

function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  return found && [h(`h${Math.min(found[1].length + 2, 6)}`, {}, inline(found[2])), at + 1];
}

/** Items of one indentation; what is indented further belongs to the item above it. */
function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const room = first[1].length;
  const ordered = first[2] !== undefined;
  const items = [];
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (!item || item[1].length !== room || (item[2] !== undefined) !== ordered) break;
    let end = next + 1;
    while (end < lines.length && belongs(lines, end, room)) end += 1;
    items.push(h("li", {}, inline(item[3]), blocks(lines.slice(next + 1, end))));
    next = end;
  }
  return [h(ordered ? "ol" : "ul", { dir: "auto", start: ordered && first[2] !== "1" ? first[2] : null }, items), next];
}

/** Whether a line is a part of the item above it: it is indented further, or empty before one that is or before the next item. */
function belongs(lines, at, room) {
  let next = at;
  while (next < lines.length && !lines[next].trim()) next += 1;
  if (next === lines.length) return false;
  const indented = lines[next].length - lines[next].trimStart().length > room;
  return indented || (next > at && ITEM.exec(lines[next])?.[1].length === room);
}

/** Lines up to an empty one or another kind of block, broken where they are. */
function paragraph(lines, at) {
  let end = at;
  while (end < lines.length && lines[end].trim() && (end === at || !starts(lines[end]))) end += 1;
  return end === at ? [null, at + 1] : [h("p", {}, inline(lines.slice(at, end).join("\n"))), end];
}

function starts(line) {
  return FENCE.test(line) || HEADING.test(line) || ITEM.test(line);
}

/** Text with its code, bold and italic parts; whatever is not closed stays as it is. */
function inline(text) {
  if (text.length > LONGEST) return [text];
  const found = [];
  let from = 0;
  for (const mark of text.matchAll(MARKED)) {
    const [whole, , code, bold, italic] = mark;
    found.push(text.slice(from, mark.index));
    found.push(code !== undefined ? h("code", {}, code) : bold !== undefined ? h("strong", {}, inline(bold)) : h("em", {}, inline(italic)));
    from = mark.index + whole.length;
  }
  return [...found, text.slice(from)].filter(Boolean);
}
