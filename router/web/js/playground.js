// The playground: the decision first, then the answer as it streams, then what it took.

import { ask, askAgain, askJson, told, wantsKey } from "./access.js";
import { decisionView, receiptView } from "./decision.js";
import { byId, h, swatch } from "./dom.js";
import { percent, seconds } from "./format.js";
import { rendered } from "./markdown.js";
import { learnExperts, tint } from "./palette.js";
import { chunks } from "./stream.js";

const EXAMPLES = [
  "How do I add an expert?",
  "I was charged twice for order 4411, please refund one.",
  "Summarise in one sentence: the tide rises and falls twice a day because of the moon.",
  "Prove that there are infinitely many primes.",
];

/** Where the panels stand below each other. */
const NARROW = "(max-width: 56.25em)";
const TOUCH = matchMedia("(hover: none)");
const NEAR_PX = 40;

let messages = [];
let stopper = null;

async function loadModels() {
  const models = await askJson("/v1/models");
  learnExperts(models.data.filter((model) => "fallback" in model));
  const names = models.data.map((model) => model.id).filter((id) => id !== "encoder");
  const routed = names.filter((id) => id.startsWith("auto") || id === "fallback");
  const select = byId("model");
  const group = (label, ids) => h("optgroup", { label }, ids.map((id) => h("option", { value: id, selected: id === "auto" }, id)));
  select.replaceChildren(group("Routed", routed), group("By name", names.filter((id) => !routed.includes(id))));
}

async function begin() {
  complain(null);
  try {
    await loadModels();
    document.documentElement.dataset.ready = "1";
  } catch (error) {
    const again = () => { askAgain(); begin(); };
    complain(told(error), h("button", { class: "button", type: "button", onclick: again }, wantsKey(error) ? "Use a key" : "Try again"));
  }
}

async function send(text) {
  complain(null);
  forget();
  askAgain();
  const talk = messages;
  talk.push({ role: "user", content: text });
  const asked = turn("user", text);
  const model = byId("model").value;
  stopper = new AbortController();
  busy(true);
  const before = talk.length;
  try {
    const body = { model, messages: talk };
    showDecision(await (await ask("/v1/route", { method: "POST", body: JSON.stringify(body), signal: stopper.signal })).json());
    await answer(body, talk);
  } catch (error) {
    if (error.name === "AbortError") complain("Stopped. The expert was told to stop as well; what it had used is in the ledger.");
    else complain(`${told(error)}${error.requestId ? ` (request ${error.requestId})` : ""}`);
    if (talk === messages && talk.length === before) takeBack(asked, text);
  } finally {
    busy(false);
  }
}

/** Nothing was answered: what was asked goes back to where it was written. */
function takeBack(asked, text) {
  messages.pop();
  for (const each of [asked.item.nextElementSibling, asked.item]) each?.remove();
  if (!byId("text").value) byId("text").value = text;
}

async function answer(body, talk) {
  const started = performance.now();
  const response = await ask("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ ...body, stream: true }),
    signal: stopper.signal,
  });
  const expert = response.headers.get("x-shoal-expert");
  const { said, who, name } = turn(expert ?? body.model, "");
  let text = "";
  let first = null;
  let receipt = null;
  let due = 0;
  const beside = { reasoned: false, called: false, finish: null };
  const draw = () => {
    due = 0;
    const silent = beside.reasoned ? [quiet("It reasons.")] : [];
    follow(() => said.replaceChildren(...(text ? rendered(text) : silent)));
  };
  try {
    for await (const chunk of chunks(response)) {
      if (!expert && chunk.model) name(chunk.model); // the head went out before anybody had answered
      const piece = heard(chunk.choices?.[0], beside);
      if (piece) first ??= (performance.now() - started) / 1000;
      text += piece;
      due ||= requestAnimationFrame(draw);
      receipt = chunk.shoal ?? receipt;
    }
  } finally {
    cancelAnimationFrame(due);
    draw();
    if (text) talk.push({ role: "assistant", content: text });
  }
  if (receipt) showReceipt(receipt, { first: first && seconds(first), all: seconds((performance.now() - started) / 1000) });
  follow(() => {
    if (text) who.append(copying(text));
    else said.replaceChildren(quiet(wordless(beside)));
    if (said.querySelector(":not(p)")) who.append(asWritten(said, text));
    if (receipt) who.append(thumbs(receipt.request_id));
  });
}

/** What a part of a choice says to the reader, a refusal too; what it does beside is noted. */
function heard(choice, beside) {
  const delta = choice?.delta ?? {};
  beside.reasoned ||= Boolean(delta.reasoning_content || delta.reasoning);
  beside.called ||= Boolean(delta.tool_calls || delta.function_call);
  beside.finish = choice?.finish_reason ?? beside.finish;
  return (delta.content ?? "") + (delta.refusal ?? "");
}

/** What became of an answer that ended without a word. */
function wordless({ reasoned, called, finish }) {
  const did = reasoned ? "reasoned and " : called ? "called a tool and " : "";
  return `It ${did}${finish === "length" ? "came to its limit before it said anything" : "said nothing"}.`;
}

function quiet(text) {
  return h("p", { class: "quiet" }, text);
}

function showDecision(found) {
  const { decision } = found;
  byId("decision-chip").replaceChildren(sureness(decision));
  byId("decision-body").replaceChildren(...decisionView(found));
  if (matchMedia(NARROW).matches) byId("decision").scrollIntoView({ block: "start" });
}

/** That a model was named, or how sure the judge is of the one it chose; it judges no fallback. */
function sureness({ policy, probability }) {
  if (!policy) return h("span", { class: "chip" }, "named");
  if (probability === null) return "";
  return h("span", { class: "chip good" }, probability > 0.995 ? "over 99 % sure" : `${percent(probability)} sure`);
}

function showReceipt(shoal, waited) {
  const { estimated, left_out: nothing } = shoal.fallback;
  const chip = shoal.held_back ? "held back" : estimated && !nothing ? "estimate, unverified" : null;
  byId("receipt-chip").replaceChildren(chip ? h("span", { class: "chip warn" }, chip) : "");
  byId("receipt-body").replaceChildren(...receiptView(shoal, waited).filter(Boolean));
}

function turn(who, text) {
  const said = h("div", { class: "said" }, text);
  const mine = who === "user";
  const head = h("div", { class: "who" });
  const item = h("li", { class: `turn ${mine ? "user" : "expert"}` }, head, said);
  const name = (known) => head.replaceChildren(...(mine ? ["you"] : [swatch(tint(known), "dot"), known]));
  name(who);
  byId("turns").append(item);
  byId("turns").scrollTop = byId("turns").scrollHeight;
  return { item, said, who: head, name };
}

/** Draws at the end of the conversation, and stays there unless the reader has scrolled up. */
function follow(draw) {
  const talk = byId("turns");
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < NEAR_PX;
  draw();
  if (atEnd) talk.scrollTop = talk.scrollHeight;
}

/** A button that copies an answer as it was written; none where the browser lets no page copy. */
function copying(text) {
  if (!navigator.clipboard) return "";
  const copy = async ({ currentTarget: button }) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      complain("The browser did not let this page copy.");
    }
  };
  return h("button", { class: "button", type: "button", onclick: copy }, "Copy");
}

/** A button that shows an answer's own characters, with the marks that were taken for Markdown. */
function asWritten(said, text) {
  const press = ({ currentTarget: button }) => {
    const plain = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(plain));
    said.replaceChildren(...(plain ? [text] : rendered(text)));
  };
  return h("button", { class: "button", type: "button", "aria-pressed": "false", onclick: press }, "As written");
}

/** Thumbs for one answer; what they say goes to POST /v1/feedback. */
function thumbs(requestId) {
  const host = h("span", { class: "row thumbs", role: "group", "aria-label": "Was this answer good?" });
  for (const [mark, label, score] of [["Good", "Good answer", 1], ["Bad", "Bad answer", 0]]) {
    host.append(h("button", { class: "button", type: "button", "aria-label": label, "aria-pressed": "false", onclick: (event) => rate(host, event.currentTarget, requestId, score) }, mark));
  }
  return host;
}

async function rate(host, button, requestId, score) {
  try {
    await askJson("/v1/feedback", { request_id: requestId, score });
    for (const each of host.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
  } catch (error) {
    complain(told(error));
  }
}

function complain(message, ...beside) {
  byId("notice").hidden = message === null;
  byId("notice").replaceChildren(message ?? "", ...beside);
  if (message !== null) byId("notice").scrollIntoView({ block: "nearest" });
}

function busy(now) {
  byId("send").disabled = now;
  byId("stop").disabled = !now;
  byId("turns").setAttribute("aria-busy", String(now));
  if (!now) write();
}

/** What comes next is a request; where there is no keyboard one would cover the page. */
function write() {
  if (!TOUCH.matches) byId("text").focus({ preventScroll: true });
}

function clear() {
  stopper?.abort();
  messages = [];
  byId("turns").replaceChildren();
  forget();
  complain(null);
}

/** What was said of the request before: it is not this one's. */
function forget() {
  byId("decision-chip").replaceChildren();
  byId("receipt-chip").replaceChildren();
  byId("decision-body").replaceChildren(h("p", { class: "quiet" }, "Who would answer, how sure the judge is, and which known requests are alike."));
  byId("receipt-body").replaceChildren(h("p", { class: "quiet" }, "Money, energy and carbon of the answer, beside what the fallback alone would have taken."));
}

function submit() {
  const text = byId("text").value.trim();
  if (!text || byId("send").disabled) return;
  byId("text").value = "";
  send(text);
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
if (TOUCH.matches) byId("text").removeAttribute("aria-describedby"); // the hint is of keys, and hidden too
document.addEventListener("keygiven", write);
byId("stop").addEventListener("click", () => stopper?.abort());
byId("clear").addEventListener("click", clear);
byId("examples").replaceChildren(...EXAMPLES.map((text) => h("button", { type: "button", onclick: () => { byId("text").value = text; byId("text").focus(); } }, text)));
forget();
begin();
