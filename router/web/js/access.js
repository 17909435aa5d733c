// Asking the server: the key is asked for when one is needed and kept until this tab is closed.

import { h } from "./dom.js";

/** The dashboard's figures are of all keys: a key that reads them asks no model, and one that asks models sees its own. */
const FIGURES = location.pathname === "/dashboard";
const KEY = FIGURES ? "shoal-figures-key" : "shoal-key";
const NOT_FOR_THIS = FIGURES ? "figures_not_allowed" : "key_not_allowed";

export class Refused extends Error {
  constructor(status, error, requestId) {
    super(error?.message ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = error?.code ?? null;
    this.requestId = requestId;
  }
}

/** A successful response. Throws `Refused` for an error of the server's, TypeError when there is no server, TimeoutError. */
export async function ask(path, options = {}, within_ms = undefined) {
  for (;;) {
    const signal = within_ms ? AbortSignal.timeout(within_ms) : options.signal;
    const response = await fetch(path, { ...options, signal, headers: headers(options), cache: "no-store", credentials: "omit" });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    const wanting = response.status === 401 || error?.code === NOT_FOR_THIS;
    if (wanting && !declined && (await askForKey(sessionStorage.getItem(KEY) === null ? null : error?.message))) continue;
    throw new Refused(response.status, error, response.headers.get("x-request-id"));
  }
}

/** Whether it is a key that is wanting, which the reader did not give. */
export function wantsKey(error) {
  return error instanceof Refused && (error.status === 401 || error.code === NOT_FOR_THIS);
}

/** A reader who gave no key is not asked again by itself, only after this. */
export function askAgain() {
  declined = false;
}

export async function askJson(path, body = undefined, within_ms = undefined) {
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return (await ask(path, sent, within_ms)).json();
}

export function told(error) {
  if (error instanceof Refused) return error.message;
  return error.name === "TimeoutError" ? "The server does not answer." : "The server cannot be reached. Is it running?";
}

function headers(options) {
  const key = sessionStorage.getItem(KEY);
  const found = { ...options.headers };
  if (options.body) found["content-type"] = "application/json";
  if (key) found.authorization = `Bearer ${key}`;
  return found;
}

let asking = null;
let declined = false;

/** One dialog however many requests want a key; true once there is another to try. `why`: the last one was refused. */
function askForKey(why) {
  asking ??= dialog(why).finally(() => {
    asking = null;
  });
  return asking;
}

function dialog(why) {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", id: "key", autocomplete: "off", required: true, "aria-describedby": "key-told" });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", {}, FIGURES ? "These figures want a key" : "This server wants a key"),
      h("p", { id: "key-told", class: why ? "bad" : "quiet" }, why ? `That key was not accepted. ${why}` : "It is kept until you close this tab."),
      h("label", { for: "key" }, FIGURES ? "Key for figures, or admin key" : "API key"),
      input,
      h("div", { class: "row" }, h("button", { class: "button primary", value: "ok" }, "Use it"), h("button", { class: "button", value: "no", formnovalidate: true }, "Cancel")),
    );
    const box = h("dialog", {}, form);
    box.addEventListener("close", () => {
      const given = box.returnValue === "ok" ? input.value.trim() : "";
      if (given) sessionStorage.setItem(KEY, given);
      box.remove();
      declined = !given;
      document.dispatchEvent(new Event("keygiven"));
      resolve(Boolean(given));
    });
    document.body.append(box);
    box.showModal();
  });
}
