"""The playground in a real browser: decision, streamed answer, receipt, feedback, stopping, errors, keys."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.browser.chromium import Browser
from tests.browser.conftest import PAYLOADS, XSS
from tests.service.server import Server, rows, write_registry

KEY = "a-long-key-for-the-pages-0123456789"
FIGURES_KEY = "the-figures-key-of-this-test"

WATCH = """
  window.seen = [];
  const note = () => seen.push([document.querySelector("#decision .verdict")?.textContent ?? "",
    document.querySelector(".turn.expert .said")?.textContent ?? ""]);
  const all = { childList: true, subtree: true, characterData: true };
  new MutationObserver(note).observe(document.querySelector("main"), all);
"""

MOUSE = """
  const real = matchMedia;
  window.matchMedia = (asked) => (asked === "(hover: none)" ? { matches: false } : real.call(window, asked));
"""
"""A window without a screen has no mouse, and pages then take it for a phone."""


@pytest.fixture
def page(browser: Browser, server: Server) -> Browser:
    """The playground, ready."""
    browser.open(f"{server.base}/playground")
    return browser


def say(page: Browser, text: str, model: str = "auto") -> None:
    """Send a request by keyboard."""
    Select(page.chrome.find_element(By.ID, "model")).select_by_value(model)
    box = page.chrome.find_element(By.ID, "text")
    box.clear()
    box.send_keys(text, Keys.CONTROL, Keys.ENTER)


def idle(page: Browser) -> bool:
    """Whether the last request has ended."""
    return bool(page.js("return document.getElementById('stop').disabled"))


def test_the_decision_comes_first_then_the_answer_streams_then_the_receipt(page: Browser, server: Server) -> None:
    before = server.totals()["requests"]
    page.js(WATCH)
    say(page, "SLOW poem about the sea")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert page.text(".turn.expert .said") == "one two three four five six seven eight nine ten"
    seen = page.js("return seen")
    decided = next(at for at, (verdict, _) in enumerate(seen) if verdict)
    answers = [said for _, said in seen]
    assert seen[decided] == ["poet", ""]
    assert len({said for said in answers if said}) > 1  # in pieces, not at once
    assert "a poem" in page.text("#decision-body") or "poem" in page.text("#decision-body")
    assert page.chrome.find_elements(By.CSS_SELECTOR, "#decision .bar .mark")
    receipt = page.text("#receipt-body")
    for word in ("Money", "Energy", "Carbon", "fallback (estimate)"):
        assert word in receipt
    assert server.totals()["requests"] == before + 1  # the decision alone is no entry
    assert page.complaints() == []
    assert page.outside(f"{server.base}/") == []


def test_only_who_named_a_model_is_told_so(page: Browser) -> None:
    for model, chip in (("auto", ""), ("poet", "named")):
        page.js("document.getElementById('clear').click()")
        say(page, "explain the halting problem", model=model)
        page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
        assert page.text("#decision-chip") == chip
    assert page.complaints() == []


def test_what_it_took_is_set_in_one_size_and_compared_in_every_unit(page: Browser) -> None:
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    sizes = "return [...document.querySelectorAll('#receipt-body > p')].map((one) => getComputedStyle(one).fontSize)"
    told = page.js(sizes)
    assert len(told) >= 2 and len(set(told)) == 1
    cells = "return [...document.querySelectorAll('#receipt-body tbody tr')].map((row) => [...row.children].length)"
    assert page.js(cells) == [4, 4, 4]
    carbon = page.js("return document.querySelector('#receipt-body tbody tr:last-child td').innerText")
    assert carbon.endswith("g") and not carbon.startswith("0"), "what took energy took carbon"


def test_an_answer_is_rated(page: Browser) -> None:
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    good = page.chrome.find_element(By.CSS_SELECTOR, ".thumbs button")
    good.click()
    page.until(lambda: good.get_attribute("aria-pressed") == "true")
    assert page.complaints() == []


def test_stopping_stops_the_expert(page: Browser, server: Server) -> None:
    cancelled = server.totals()["by_status"].get("cancelled", 0)
    say(page, "SLOW poem about the sea", model="poet")
    page.until(lambda: page.text(".turn.expert .said"))
    page.chrome.find_element(By.ID, "stop").click()
    page.until(lambda: idle(page))
    assert "Stopped" in page.text("#notice")
    page.until(lambda: server.totals()["by_status"].get("cancelled", 0) == cancelled + 1)


WORDLESS = """
  const plain = window.fetch;
  const [deltas, finish] = arguments;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (!String(asked[0]).startsWith("/v1/chat/completions")) return answer;
    const receipts = (await answer.text()).split("\\n\\n").filter((event) => event.includes('"shoal"'));
    const chunks = receipts.map((event) => `data: ${JSON.stringify({ ...JSON.parse(event.slice(6)), choices: [] })}`);
    const said = deltas.map((delta) => `data: ${JSON.stringify({ choices: [{ delta }] })}`);
    const last = `data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: finish }] })}`;
    return new Response([...said, last, ...chunks, "data: [DONE]", ""].join("\\n\\n"), { headers: answer.headers });
  };
"""
"""The browser is told other deltas than came, and the receipt that came."""


@pytest.mark.parametrize(
    ("deltas", "finish", "told"),
    [
        ([], "stop", "It said nothing."),
        ([{"reasoning_content": "Hm."}, {"reasoning_content": "Well."}], "length",
         "It reasoned and came to its limit before it said anything."),
        ([{"reasoning": "Hm."}], "stop", "It reasoned and said nothing."),
        ([{"tool_calls": [{"index": 0}]}], "tool_calls", "It called a tool and said nothing."),
        ([{"refusal": "I would "}, {"refusal": "rather not."}], "stop", "I would rather not."),
    ],
)  # fmt: skip
def test_an_answer_without_words_is_told(page: Browser, deltas: list[object], finish: str, told: str) -> None:
    page.js(WORDLESS, deltas, finish)
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert page.text(".turn.expert .said").strip() == told
    assert "after none" not in page.text("#receipt")


@pytest.mark.parametrize(
    ("text", "told"), [("CUT poem", "broke off"), ("BREAK", "broke off or sent something that is no answer")]
)
def test_an_error_is_told(page: Browser, text: str, told: str) -> None:
    say(page, text, model="poet")
    page.until(lambda: idle(page) and page.chrome.find_element(By.ID, "notice").is_displayed())
    assert told in page.text("#notice")
    assert re.search(r"\(request [0-9A-Z]{26}\)$", page.text("#notice")), "by which the log and the ledger know it"
    asked = page.js("return [document.getElementById('text').value, document.querySelectorAll('.turn').length]")
    assert asked == ([text, 0] if text == "BREAK" else ["", 2])  # what nobody answered can be sent again
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert not page.chrome.find_element(By.ID, "notice").is_displayed()
    page.complaints()  # a status of 500 and above is named in the console by the browser itself


@pytest.mark.parametrize(
    ("model", "text", "told"), [("big", "BIGFAIL", "The expert `big` cannot be reached"), ("nobody", "a", "`nobody`")]
)
def test_what_a_server_refuses_is_said_in_its_own_words(page: Browser, model: str, text: str, told: str) -> None:
    page.js("document.getElementById('model').append(new Option('nobody', 'nobody'))")  # has left the registry
    say(page, text, model=model)
    page.until(lambda: idle(page) and page.chrome.find_element(By.ID, "notice").is_displayed())
    assert told in page.text("#notice")
    assert "(request " in page.text("#notice"), "so that it can be found in the log"
    assert page.js("return document.getElementById('text').value") == text
    page.complaints()  # a status of 400 and above is named in the console by the browser itself


def test_a_long_conversation_stays_beside_what_is_written_next(page: Browser) -> None:
    for number in range(7):
        say(page, f"a haiku on autumn, number {number}")
        page.until(lambda: len(page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs")) == number + 1)  # noqa: B023
    below = "const talk = document.getElementById('turns'); return talk.scrollHeight - talk.clientHeight"
    assert page.js(below) > 100, "it is longer than its window"
    assert abs(page.js(f"{below} - talk.scrollTop")) < 2, "and its end is in sight"
    assert page.js("return document.getElementById('text').getBoundingClientRect().top") >= 0
    page.js("document.getElementById('turns').scrollTop = 0")
    page.chrome.find_element(By.ID, "turns").send_keys(Keys.END)
    page.until(lambda: abs(page.js(f"{below} - talk.scrollTop")) < 2)


def test_an_answer_is_copied_as_it_was_written(page: Browser, server: Server) -> None:
    allowed = {"origin": server.base, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.chrome.execute_cdp_cmd("Browser.grantPermissions", allowed)
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    button = page.chrome.find_element(By.CSS_SELECTOR, ".turn.expert .who > button")
    button.send_keys(Keys.ENTER)
    page.until(lambda: button.text == "Copied")
    read = "const done = arguments[0]; navigator.clipboard.readText().then(done)"
    assert page.chrome.execute_async_script(read) == "Roses are red, violets are blue."


def test_what_the_answer_before_took_is_not_shown_beside_another(page: Browser) -> None:
    say(page, "a haiku on autumn")
    page.until(lambda: page.text("#receipt-body table"))
    say(page, "CUT poem", model="poet")
    page.until(lambda: idle(page) and page.chrome.find_element(By.ID, "notice").is_displayed())
    assert page.text("#decision-chip") == "named"
    assert (page.text("#receipt-body table"), page.text("#receipt-chip")) == ("", "")


def test_who_answers_late_is_named_when_it_is_known(page: Browser) -> None:
    say(page, "LATE poem about the sea")  # the head goes out as a sign of life before anybody has answered
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert page.text(".turn.expert .who").startswith("poet")


def test_a_new_conversation_begins_empty_though_an_answer_was_under_way(page: Browser) -> None:
    say(page, "SLOW poem about the sea", model="poet")
    page.until(lambda: page.text(".turn.expert .said"))
    page.chrome.find_element(By.ID, "clear").click()
    page.until(lambda: idle(page))
    page.js(
        "window.sent = []; const plain = fetch; fetch = (to, how) => { sent.push(how.body); return plain(to, how) }"
    )
    say(page, "a haiku on autumn")
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert [len(json.loads(body)["messages"]) for body in page.js("return sent")] == [1, 1]


def test_markup_stays_text(page: Browser) -> None:
    names = page.js("return [...document.querySelectorAll('option')].map((one) => one.value)")
    assert {XSS, *PAYLOADS[:150]} <= set(names)
    say(page, f"poem {XSS}<script>alert(3)</script>", model=XSS)
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert XSS in page.text(".turn.user .said")
    assert page.js("return document.querySelectorAll('main img, main script').length") == 0
    assert page.complaints() == []


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A server that wants a key."""
    running = Server(tmp_path, write_registry(tmp_path), {"SHOAL_API_KEYS": KEY, "SHOAL_FIGURES_KEY": FIGURES_KEY})
    try:
        yield running.start()
    finally:
        running.stop(signal.SIGKILL)


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser, guarded: Server) -> None:
    browser.chrome.get(f"{guarded.base}/dashboard")
    give(browser, KEY, "until you close")
    leave(browser)
    browser.chrome.find_element(By.CSS_SELECTOR, "#notice button").click()
    give(browser, FIGURES_KEY, "sees its own figures only")
    browser.until(lambda: browser.js("return document.documentElement.dataset.ready"))
    assert "No requests in this period" in browser.text(".welcome")  # and what to do about it
    assert f"curl -s {guarded.base}/v1/chat/completions" in browser.text(".welcome pre")
    browser.open(f"{guarded.base}/dashboard", 900)  # no question this time
    wide = "return document.querySelector(arguments[0]).getBoundingClientRect().width"
    assert browser.js(wide, ".welcome") == browser.js(wide, ".panel.full"), "of a tablet's two columns it takes both"
    browser.open(f"{guarded.base}/dashboard")
    made = browser.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": MOUSE})
    browser.chrome.get(f"{guarded.base}/playground")
    for key, told in ((FIGURES_KEY, "until you close"), (KEY, "opens nothing else")):
        give(browser, key, told)
    browser.until(lambda: browser.js("return document.querySelectorAll('#model option').length") > 1)
    assert browser.js("return document.activeElement.id") == "text", "what comes next is to write a request"
    browser.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
    assert browser.js("return sessionStorage.length") == 2
    assert browser.js("return document.cookie + JSON.stringify(localStorage)") == "{}"
    assert all("401" in line or "403" in line for line in browser.complaints())
    browser.open(f"{guarded.base}/playground")  # nothing is asked there that an ordinary key may not see
    assert browser.complaints() == []


def leave(browser: Browser) -> None:
    """Refuse to give a key; nobody is asked again who did."""
    browser.until(lambda: "not accepted" in browser.text("#key-told"))
    browser.chrome.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.until(lambda: "sees its own figures only" in browser.text("#notice"))
    count = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/')).length"
    asked = browser.js(count)
    browser.js("document.dispatchEvent(new Event('visibilitychange'))")  # as when the tab is looked at again
    assert browser.js(count) == asked and not browser.chrome.find_elements(By.CSS_SELECTOR, "dialog")


def give(browser: Browser, key: str, told: str) -> None:
    """Answer the question for a key."""
    browser.until(lambda: told in browser.js("return document.querySelector('#key-told')?.innerText ?? ''"))
    browser.chrome.find_element(By.ID, "key").send_keys(key, Keys.ENTER)


def test_who_is_held_back_is_told_why_the_fallback_answers(browser: Browser, tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    registry.write_text(registry.read_text() + "savings: {holdback: 0.5}\n")
    server = Server(tmp_path, registry).start()
    try:
        browser.open(f"{server.base}/playground")
        for number in range(40):
            browser.js("document.getElementById('clear').click()")
            say(browser, f"write a poem about the sea, number {number}")
            browser.until(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
            if browser.text("#receipt-chip") == "held back":
                break
        receipt = browser.text("#receipt-body")
        assert "poet was chosen (smallest expert above its threshold; big answers, held back" in receipt
        assert "The fallback itself answered, so there was nothing to save" in receipt
        assert browser.chrome.find_elements(By.CSS_SELECTOR, "#receipt-body .bad") == []
        assert "estimate" not in receipt
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


LONG_ID = "support_tickets_of_the_shop_finetuned_on_a_thousand_examples_v2"
WIDER = """
  const wider = (one) => one.scrollWidth > one.clientWidth && getComputedStyle(one).display !== "inline";
  const moved = ".aside, pre, select, svg, svg *, .plot *, .scroll, .scroll *";
  return [...document.querySelectorAll(`.panel :not(${moved})`)].filter(wider).map((one) => one.outerHTML.slice(0, 99));
"""


def test_a_name_without_a_gap_moves_nothing_sideways(browser: Browser, tmp_path: Path) -> None:
    """Nor a long line of code: where a turn was as wide as its content, Firefox made all turns as wide as that line."""
    registry = write_registry(tmp_path)
    text = registry.read_text().replace("id: poet", f"id: {LONG_ID}").replace("small: poet", f"small: {LONG_ID}")
    registry.write_text(text)
    code = f"```\n{'x + ' * 99}\n```"
    rows(registry.parent / "poet.jsonl", [{"match": ".*", "reply": f"{code}\n\n{'and so on ' * 30}"}])
    server = Server(tmp_path, registry)
    try:
        browser.open(f"{server.start().base}/playground", width=360)
        say(browser, "write a poem about the sea")
        browser.until(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
        assert browser.text(".turn.expert .who").startswith(LONG_ID)
        assert browser.js(WIDER) == []
        code_moves = "const code = document.querySelector('.said pre'); return code.scrollWidth > code.clientWidth"
        assert browser.js(code_moves), "a line of code is moved in its own box"
        for width in (360, 768):
            browser.open(f"{server.base}/dashboard", width=width)
            assert browser.text("#panels").count(LONG_ID) >= 5
            assert browser.js(WIDER) == []
    finally:
        server.stop(signal.SIGKILL)


LINES = """
  const amounts = arguments[0];
  const lines = (cell, at) => {
    cell.textContent = amounts[at];
    const range = document.createRange();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
  };
  const rows = [...document.querySelectorAll("#receipt-body tbody tr")];
  return rows.flatMap((row) => [...row.querySelectorAll("td")].map(lines));
"""


@pytest.mark.parametrize("width", [320, 360, 375, 430, 1280])
def test_no_amount_of_a_receipt_is_broken(browser: Browser, server: Server, width: int) -> None:
    browser.open(f"{server.base}/playground", width=width)
    say(browser, "a haiku on autumn")
    browser.until(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    assert browser.js(LINES, ["$0.0000102", "999.999\u00a0mWh", "94.0\u00a0%"]) == [1] * 9
    least = ["<$0.000000001", "$0.0000875", ">\u00a099.9\u00a0%"]
    assert browser.js(LINES, least) == [1] * 9, "what the router's electricity alone costs is told in many digits"
