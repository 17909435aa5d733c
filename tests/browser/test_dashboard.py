"""The dashboard in a real browser, with real data: its figures, its manners, and what it refuses to become."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Browser
from tests.browser.conftest import PAYLOADS, XSS
from tests.service.server import Server, eventually, write_registry
from tests.service.test_disconnects import ask, at_work, leave, statuses

PANELS = 10


def rows(page: Browser, title: str) -> list[list[str]]:
    """The table behind a panel's picture."""
    script = """
      const titled = (one) => one.querySelector("h2").textContent === arguments[0];
      const panel = [...document.querySelectorAll(".panel")].find(titled);
      return [...panel.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
    """
    found: list[list[str]] = page.js(script, title)
    return found


def in_page(page: Browser, call: str, *arguments: object) -> Any:
    """What a function of the page's own js/format.js makes of a number."""
    script = f"const done = arguments[arguments.length - 1]; import('/web/js/format.js').then((f) => done(f.{call}));"
    return page.chrome.execute_async_script(script, *arguments)


def test_an_interval_is_seen_to_have_a_width(page: Browser) -> None:
    wide, narrow, none = ((0.36, 0.45), (0.0399, 0.0401), (0.04, 0.1 + 0.2 - 0.26))
    shown = [in_page(page, "interval(arguments[0], arguments[1], 0)", *ends) for ends in (wide, narrow, none)]
    assert [each.replace("\u00a0", " ") for each in shown] == ["36 % to 45 %", "3.99 % to 4.01 %", "4 % to 4 %"]


def test_a_bill_that_is_larger_is_not_called_smaller_by_less_than_nothing(page: Browser) -> None:
    shown = [in_page(page, "bill({usd: arguments[0]})", usd) for usd in (0.5, -0.037)]
    assert shown == ["The fallback's bill is $0.500 smaller", "The fallback's bill is $0.0370 larger"]


def test_amounts_that_are_compared_are_in_one_unit_unless_one_is_tiny(page: Browser) -> None:
    pairs = ((1161, 14_508), (14_508, 14_508), (0.00229, 909), (1161, 0))
    shown = [in_page(page, "wattHours(arguments[0], arguments[1])", *pair) for pair in pairs]
    assert shown == ["0.323\u00a0Wh", "4.03\u00a0Wh", "636\u00a0nWh", "323\u00a0mWh"]


def test_it_is_quiet_and_asks_nobody_else(page: Browser, server: Server) -> None:
    assert page.complaints() == []
    assert page.outside(f"{server.base}/") == []
    asked = {url.removeprefix(server.base) for url in page.requested}
    assert {"/dashboard", "/v1/dashboard", "/web/js/dashboard.js", "/web/vendor/uplot/uPlot.iife.min.js"} <= asked


def tiles(page: Browser) -> dict[str, list[str]]:
    """What stands on each tile: the figure, then the lines below it."""
    script = """
      const told = (one) => [...one.querySelectorAll("p")].map((line) => line.textContent);
      return [...document.querySelectorAll(".tile")].map((one) => [one.querySelector("h2").textContent, told(one)]);
    """
    return dict(page.js(script))


def test_its_figures_are_those_of_the_command(page: Browser, server: Server) -> None:
    told = server.report()
    rated = json.loads(server.shoal("meter", "overview", "--json").stdout)["calibration"]
    shown = tiles(page)
    money = in_page(page, "dollars(arguments[0])", told["cost_usd"])
    alone = told["savings"]["counterfactual"]  # its unit is that of all in a tile
    carbon = in_page(page, "grams(arguments[0], arguments[1])", told["co2_g"], alone["co2_g"])
    energy = in_page(page, "wattHours(arguments[0], arguments[1])", told["energy_j"], alone["energy_j"])
    saved = in_page(page, "percent(arguments[0])", told["savings"]["routed"]["whole"]["share"]["energy"])
    assert told["no_price"], "what some of them took in money is unknown"
    assert list(shown) == ["Money saved", "Energy saved", "Carbon saved", "Small experts' answers"]
    assert (shown["Energy saved"][0], shown["Energy saved"][2]) == (saved, f"{energy} spent in all")
    assert f"≥\u00a0{money} spent in all" in shown["Money saved"]
    assert "No price for cook: give one in registry.yaml." in shown["Money saved"]
    assert f"{carbon} spent in all" in shown["Carbon saved"]
    small = rated["small_experts"]
    good = in_page(page, "percent(arguments[0])", small["mean_score"])
    assert shown["Small experts' answers"] == [good, f"is the mean score of {small['n']} answers that clients rated"]
    escalated = told["escalated"]["before"] + told["escalated"]["after"]
    assert page.text("#period-told").startswith(f"{told['requests']} requests since ")
    assert page.text("#period-told").endswith(f": {escalated} escalated, {told['unanswered']} unanswered.")
    answered = rows(page, "Who answered")
    head = page.js(
        "return [...[...document.querySelectorAll('.panel')].find((one) => one.querySelector('h2').textContent"
        " === 'Who answered').querySelectorAll('thead th')].map((one) => one.textContent)"
    )
    sums = {who: sum(int(row[at]) for row in answered) for at, who in enumerate(head) if at}
    assert sums == {who: share["requests"] for who, share in told["by_expert"].items() if share["requests"]}
    spent = sum_of_energy = in_page(page, "wattHours(arguments[0])", told["energy_j"])
    assert spent in page.text(".panels")
    assert sum_of_energy in page.text(".panels")


def test_the_overview_command_has_the_rest(page: Browser, server: Server) -> None:
    overview = json.loads(server.shoal("meter", "overview", "--json").stdout)
    reasons = [row for row in rows(page, "Escalations, and why") if not row[0].startswith("like ")]
    told = overview["escalations"]["by_reason"].values()
    assert reasons == [[row["told"], str(row["requests"])] for row in told if row["requests"]]
    waits = {row[0]: row[2:5] for row in rows(page, "How long answers took")}
    for who, row in overview["latency"]["rows"].items():
        assert waits[who] == [in_page(page, "seconds(arguments[0])", s) for s in row["total_s"].values()]
    bins = rows(page, "Is the judge as sure as it should be?")
    assert [int(row[3]) for row in bins] == [row["n"] for row in overview["calibration"]["bins"]]
    assert {row[0] for row in rows(page, "From when on each expert pays")} == set(overview["break_even"])


def test_markup_stays_text(page: Browser) -> None:
    text = page.js("return document.body.textContent")
    assert f"{XSS}<script>alert(2)</script>" in text  # an expert's description
    assert [payload for payload in PAYLOADS if payload not in text] == []
    assert XSS in page.js("return document.querySelector('svg.map').textContent")  # a domain on the map
    assert page.js("return document.querySelectorAll('main img, main script').length") == 0
    assert page.complaints() == []
    assert page.outside(f"{page.js('return location.origin')}/") == []


def test_the_policy_is_enforced_and_its_breaches_are_seen(page: Browser, server: Server) -> None:
    markup = "try { document.body.innerHTML = '<p>x'; return 'allowed' } catch (error) { return error.name }"
    assert page.js(markup) == "TypeError"
    page.js("document.body.setAttribute('style', 'color: red')")
    page.js("const made = document.createElement('script'); made.append('window.ran = 1'); document.body.append(made)")
    other = server.base.replace("127.0.0.1", "localhost")
    page.js("fetch(arguments[0]).catch(() => {}); new Image().src = arguments[0]", f"{other}/web/icon.svg")
    assert page.js("return [document.body.style.color, window.ran ?? null]") == ["", None]
    told = " ".join(page.complaints())
    for directive in ("TrustedHTML", "TrustedScript", "style-src", "connect-src", "img-src"):
        assert directive in told, directive
    page.outside(server.base)  # what was tried here is not the next test's


def test_every_picture_is_told_and_has_a_table(page: Browser) -> None:
    panels = page.js(
        "return [...document.querySelectorAll('.panel')].map((one) => [one.querySelector('h2').textContent,"
        " one.querySelector('figure').getAttribute('aria-label'), one.querySelectorAll('tbody tr').length])"
    )
    assert len(panels) == PANELS
    for title, label, table in panels:
        assert len(label) > len(title) + 20, title
        assert table, title


def test_what_the_server_died_over_is_never_told_as_nothing(browser: Browser, tmp_path: Path) -> None:
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        with server.client() as client:
            slow: Any = [{"role": "user", "content": "SLOW"}]
            stream = iter(client.chat.completions.create(model="poet", messages=slow, stream=True))
            next(stream)
            server.stop(signal.SIGKILL)
        server.start()
        browser.open(f"{server.base}/dashboard")
        lost = "What 1 request under way when the server died took is unknown, and in no sum."
        assert lost in browser.text("#period-told")
        called = browser.js("return [...document.querySelectorAll('figure')].map((one) => one.ariaLabel).join('\\n')")
        assert "At least so much was spent: 1 request (" in called
        at_least_is_told(browser)
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


def at_least_is_told(browser: Browser) -> None:
    """What was spent has its ≥ in every tile, and in the table."""
    spent = [line for lines in tiles(browser).values() for line in lines if line.endswith("spent in all")]
    assert [line[:1] for line in spent] == ["≥"] * 3
    cells = [cell for row in rows(browser, "Spent, beside the fallback alone") for cell in row]
    assert [cell.startswith("≥") for cell in cells].count(True) == 2, "really spent, and spent in all, in one step"


@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_learnt_and_is_left_out_is_told(browser: Browser, tmp_path: Path, damaged: bool) -> None:
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        if damaged:
            server.stop()
            pointer = tmp_path / "data" / "learned" / "current.json"
            pointer.parent.mkdir(exist_ok=True)
            pointer.write_text("no pointer")
            server.start()
        body = {"model": "auto", "messages": [{"role": "user", "content": "write a poem about the sea"}]}
        assert server.post("/v1/chat/completions", body)[0] == 200
        browser.open(f"{server.base}/dashboard")
        browser.until(lambda: "known examples, each judged by a head" in browser.text("#panels"))
        told = "What was learnt from use is left out: shoal learn list says why, and what to do."
        assert (told in browser.text("#panels")) is damaged
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


def test_what_nobody_heard_is_told_as_at_least(browser: Browser, tmp_path: Path) -> None:
    """A client that leaves before the first word leaves tokens that nobody can count."""
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        connection = ask(server, "poet", False, "SLOW")
        eventually(lambda: at_work(server, "poet")[0] == 1)
        leave(connection, "fin")
        eventually(lambda: statuses(server) == {"CANCELLED": 1})
        assert server.report()["unheard"] == 1
        browser.open(f"{server.base}/dashboard")
        told = "What was written by 1 answer whose client left before the first word is unknown, and in no sum."
        assert told in browser.text("#period-told")
        called = browser.js("return [...document.querySelectorAll('figure')].map((one) => one.ariaLabel).join('\\n')")
        assert "The clients of 1 answer left before the first word; what was written by then is in no sum." in called
        at_least_is_told(browser)
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


DRAWN = """
  const panel = [...document.querySelectorAll(".panel")].find((one) => one.textContent.startsWith("Who answered"));
  const swatches = [...panel.querySelectorAll(".legend .swatch")].map((one) => getComputedStyle(one).backgroundColor);
  const canvas = panel.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const drawn = new Set();
  for (let at = 0; at < data.length; at += 4) drawn.add(`rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})`);
  return [swatches, swatches.filter((one) => !drawn.has(one))];
"""


@pytest.mark.parametrize("forced", ["none", "active"])
def test_columns_have_the_colours_of_their_legend(browser: Browser, server: Server, forced: str) -> None:
    """Also where the reader's few colours replace all others, as in Windows' contrast themes."""
    features = [{"name": "prefers-color-scheme", "value": "light"}, {"name": "forced-colors", "value": forced}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.open(f"{server.base}/dashboard")
        assert browser.js("return matchMedia('(forced-colors: active)').matches") is (forced == "active")
        swatches, missing = browser.js(DRAWN)
    finally:
        browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(set(swatches)) > 2 and missing == []
