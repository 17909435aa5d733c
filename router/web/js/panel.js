// A panel: heading, one sentence that says what the picture shows, the picture, what else is known, and the same as a table.

import { h } from "./dom.js";
import { registered } from "./palette.js";

let made = 0;

export class Panel {
  /** `size` is one of "", wide, third, full. */
  constructor(title, size = "") {
    const id = `panel-${(made += 1)}`;
    this.chips = h("span", { class: "row" });
    this.summary = h("p", { class: "summary" });
    this.picture = h("div", { class: "picture" });
    this.figure = h("figure", { role: "img" }, this.picture);
    this.notes = h("ul", { class: "notes", hidden: true });
    this.table = h("table", {});
    this.details = h("details", {}, h("summary", {}, "Show as table"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` }, this.table));
    this.element = h(
      "section",
      { class: `panel ${size}`.trim(), "aria-labelledby": id },
      h("header", {}, h("h2", { id }, title), this.chips),
      this.summary,
      this.figure,
      this.notes,
      this.details,
    );
    this.title = title;
    this.drawn = "";
  }

  /** Draws only when what is shown, or an expert's colour, has changed, so that watching moves nothing under the reader's hands. */
  update(shown, draw) {
    const state = JSON.stringify([registered(), shown]);
    if (state === this.drawn) return;
    this.drawn = state;
    draw();
  }

  /** The sentence below the heading; it is also what the picture is called. */
  say(...sentence) {
    this.summary.replaceChildren(...sentence);
    this.figure.setAttribute("aria-label", `${this.title}: ${this.summary.textContent}`);
  }

  /** What else is known of the figure, below the picture: a sentence each. */
  note(sentences) {
    this.notes.hidden = !sentences.length;
    this.notes.replaceChildren(...sentences.map((sentence) => h("li", {}, sentence.trim())));
  }

  /** Nothing to draw: `why`, and what to do instead. */
  empty(why, ...what) {
    this.say(why);
    this.picture.replaceChildren(h("div", { class: "empty" }, ...what.map((line) => h("p", {}, line))));
    this.details.hidden = true;
    this.note([]);
  }

  rows(columns, rows) {
    this.details.hidden = rows.length === 0;
    this.table.replaceChildren(
      h("caption", { class: "aside" }, this.title),
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell))))),
    );
  }
}

/** Buttons of which one is pressed; `choose` is told its value. */
export function segments(host, choices, pressed, choose) {
  const buttons = choices.map(([value, label]) =>
    h("button", { type: "button", "aria-pressed": String(value === pressed), onclick: () => press(value) }, label),
  );
  function press(value) {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(choices[place][0] === value)));
    choose(value);
  }
  host.replaceChildren(...buttons);
}
