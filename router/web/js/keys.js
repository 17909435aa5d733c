// What each API key saved, for those who ask: a report by key is made when this is opened, not every few seconds.

import { askJson, told } from "./access.js";
import { h } from "./dom.js";
import { count, interval, percent, places } from "./format.js";

const COLUMNS = ["Key", "Requests", "Saved", "95\u00a0% interval", "Standing"];
const NOBODY = "(none)";
const EACH = "Each is estimated by itself, so they add up to what all saved only about as well as that is known.";

/** Something to open below a panel, and what tells it of which period and measure the page is. */
export function savedByKey() {
  const words = h("p", { class: "quiet", "aria-live": "polite" });
  const table = h("table", {});
  const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Saved by API key" }, table);
  const element = h("details", { class: "by-key", ontoggle: opened }, h("summary", {}, "Saved by API key"), words, scroll);
  let [what, period, groups, asked] = ["energy", null, {}, null];

  function opened() {
    asked = null;
    look();
  }

  /** Asks when this is opened, and while it is open when the period is another. */
  async function look() {
    if (!element.open || !period || asked === period.from_s) return;
    const [mine, until] = [period.from_s, Math.ceil(period.to_s)];
    asked = mine;
    words.replaceChildren("Adding up.");
    try {
      const found = await askJson(`/v1/meter?group_by=key&from=${moment(mine)}&to=${moment(until)}`);
      if (asked !== mine) return;
      groups = found.groups;
      words.replaceChildren(`Until ${new Date(until * 1000).toLocaleTimeString("en-GB")}. ${EACH}`);
    } catch (error) {
      if (asked !== mine) return;
      groups = {};
      words.replaceChildren(told(error));
    }
    draw();
  }

  function draw() {
    const names = Object.values(groups).map((group) => group.name);
    const rows = Object.entries(groups).map(([id, group]) => row(called(id, group.name, names), group, what));
    table.replaceChildren(
      h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([name, ...rest]) => h("tr", {}, h("th", { scope: "row" }, name), rest.map((cell) => h("td", {}, cell))))),
    );
  }

  function show(measure, found) {
    [what, period] = [measure, found];
    draw();
    look();
  }
  return { element, show };
}

/** By its name, with the id where another key has the same name. */
function called(id, name, names) {
  if (!name) return id === NOBODY ? "no key" : id;
  return names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} ${id}`;
}

function row(name, { requests, savings: { share, low, high, standing, why_not: why } }, what) {
  if (why) return [name, count(requests), "unknown", "", why];
  if (share[what] === null) return [name, count(requests), "unknown", "", what === "cost" ? "there is no price for some of it" : "the fallback alone would have taken nothing"];
  const ends = [low[what], high[what]];
  return [name, count(requests), percent(share[what], places(...ends)), interval(...ends), standing];
}

/** As the server reads it, to the second. */
const moment = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
