"""What the pages say where a figure is not whole: prices that are missing or late, a fallback that failed, counters."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from selenium.webdriver.common.by import By

from router.meter.devices import DeviceShare, DeviceSlice, Measured
from router.meter.hours_schema import HOUR_US
from router.meter.ledger import Ledger
from router.meter.record import Arm, EnergyMethod, Pair, Role
from router.meter.units import dollars
from tests.browser.chromium import Browser
from tests.browser.test_dashboard import in_page, tiles
from tests.browser.test_figures import CHOOSE, overview
from tests.browser.test_playground import say
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, priced_evenly, small, tariffs
from tests.service.server import Server, write_registry

READ = """
  const panel = [...document.querySelectorAll(".panel")].find((one) => one.querySelector("h2").textContent
    === arguments[0]);
  return [...panel.querySelectorAll(".summary, .notes li, .aftermath")].map((one) => one.innerText.trim());
"""
DRAWN = """
  const panel = [...document.querySelectorAll(".panel")].find((one) => one.querySelector("h2").textContent
    === arguments[0]);
  const texts = (where, of) => [...where.querySelectorAll(of)].map((one) => one.textContent.trim());
  const empty = panel.querySelector(".picture > .empty").checkVisibility();
  const rows = [...panel.querySelectorAll("tbody tr")].map((row) => texts(row, "th, td"));
  return [texts(panel, ".legend li"), empty, texts(panel, "thead th"), rows];
"""
"""What a curve's legend says, whether it says that nothing is known, and the table of the same."""
AS_MANY = """
  const plain = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (!String(asked[0]).startsWith("/v1/dashboard")) return answer;
    const told = await answer.json();
    window.looked_at = told.latency.newest = told.latency.rows.all.requests;
    return Response.json(told);
  };
"""
"""As if no more answers were looked at than there are."""
ONE_HELD = """
  const plain = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (!String(asked[0]).startsWith("/v1/dashboard")) return answer;
    const told = await answer.json();
    told.totals.savings.routed.held_back.requests = 1;
    return Response.json(told);
  };
"""
"""As if a single request had been held back."""
SAVED = "Saved, as a share of the fallback alone"
SPENT = "Spent, beside the fallback alone"
SOURCES = "Where the energy figures come from"
WHY = "Escalations, and why"
POEM, RECIPE, HARD = "write a poem about the sea", "recipe for banana bread", "explain the halting problem"


def sentences(page: Browser, panel: str) -> list[str]:
    """What a reader finds on a panel in words, spaces that keep a number and its unit together as plain ones."""
    return [text.replace("\u00a0", " ") for text in page.js(READ, panel)]


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A ledger in which one call of 671 has no price and a counter saw the router, behind a server."""
    folder = tmp_path_factory.mktemp("partly")
    book = Book(folder / "data" / "ledger.sqlite", make_intent, make_outcome)
    told: dict[str, Any] = {"body": tariffs("chat", sql="list", chat="list")}
    cheap = replace(small(), cost_nusd=40, price_version="list")
    for number in range(640):
        dear = replace(big(), cost_nusd=1000 + number * 37 % 800, price_version="list")
        if number % 2:
            book.add([cheap], arm=Arm.NORMAL, **told)
        else:
            graded = Pair(number % 4 == 0, 600_000 + number * 7919 % 300_000, 700_000 + number * 7727 % 300_000)
            beside = replace(cheap, role=Role.SHADOW)
            book.add([dear], arm=Arm.HOLDBACK, shadow=beside, pair=graded, **told)
    for _ in range(30):
        book.add([cheap], arm=Arm.NORMAL, label="other", **told)
    book.add([small()], arm=Arm.NORMAL, label="other", **told)
    book.write()
    asyncio.run(count(book.path))
    server = Server(folder, write_registry(folder)).start()
    yield server
    server.stop(signal.SIGKILL)


async def count(path: Path) -> None:
    """A counter saw 20 mJ go to the router's own work in this hour, in a building that takes a fifth more."""
    now_us = time.time_ns() // 1000
    share = DeviceShare(
        now_us // HOUR_US, "cpu", EnergyMethod.MEASURED, 1_200_000, counter_uj=50_000, attempts_uj=20_000,
        router_uj=20_000, idle_uj=10_000, charged_uj=24_000, samples=1,
    )  # fmt: skip
    part = DeviceSlice("cpu", share.method, share.pue_ppm, now_us - 1, now_us, [50_000, 10_000, 0, 0, 0])
    ledger = Ledger.open(path)
    ledger.measured(Measured([], [share], [part]))
    await ledger.aclose()


def test_of_a_partly_priced_period_the_part_that_is_known_is_told(browser: Browser, partly: Server) -> None:
    part = partly.report()["savings"]["priced_part"]
    browser.open(f"{partly.base}/dashboard")
    browser.js(CHOOSE, "Money")
    money, panel = tiles(browser)["Money saved"], sentences(browser, SAVED)
    usd, alone = (in_page(browser, "dollars(arguments[0])", part[name]) for name in ("cost_usd", "counterfactual_usd"))
    ends = part["low"], part["high"]
    share = in_page(browser, "percent(arguments[0], f.places(arguments[1], arguments[2]))", part["share"], *ends)
    within = in_page(browser, "interval(arguments[0], arguments[1])", *ends)
    assert (part["requests"], part["of"], part["standing"]) == (640, 671, "published")
    known = f"On 640 of 671 requests (95 %) all money is known: {usd} saved ({share}, 95 % interval {within}), "
    why = "published; left out, on both sides, are 1 call without a price and all of its domain, for what remains"
    assert f"{known}{why} of one would be no fair sample.".replace("\u00a0", " ") in panel
    most = partly.report()["savings"]["at_most"]
    bound = in_page(browser, "dollars(arguments[0])", most["usd"])
    assert panel[0].startswith(f"At most {bound} was saved (")
    assert "smaller (" in panel[0]
    assert "before what sql and the router's own work cost. Of that $" in panel[0]
    assert "not in it is what sql cost, which is not declared: give 'hardware' or 'price' in registry.yaml." in panel[0]
    saved = f"{usd} of the {alone} that the fallback alone would have cost"
    assert f"{saved}, on the 640 of 671 requests (95\u00a0%) of which all money is known" in money
    assert (money[-1], money[-2]) == ("published", "No price for sql: give one in registry.yaml.")
    assert browser.complaints() == []


def test_the_curve_of_money_is_of_the_part_that_is_known_and_says_so(browser: Browser, partly: Server) -> None:
    """Drawn, in the table beside it and for machines."""
    browser.open(f"{partly.base}/dashboard")
    browser.js(CHOOSE, "Money")
    legend, empty, head, cells = browser.js(DRAWN, SAVED)
    assert (legend[0], empty) == ("saved so far, on the 640 of 671 requests of which all money is known", False)
    assert head[1] == "Saved so far on 640 of 671"
    curve = overview(partly)["savings"]["priced_part"]
    share = in_page(
        browser, "percent(arguments[0], f.places(arguments[1], arguments[2]))",
        *(curve[name][-1] for name in ("share", "low", "high")),
    )  # fmt: skip
    assert cells[-1][1] == share
    browser.js(CHOOSE, "Energy")
    legend, _, head, _ = browser.js(DRAWN, SAVED)
    assert (legend[0], head[1]) == ("saved so far", "Saved so far")
    assert browser.complaints() == []


def test_latency_says_where_it_is_of_the_newest_answers_alone(browser: Browser, partly: Server) -> None:
    latency = "How long answers took"
    browser.open(f"{partly.base}/dashboard")
    assert not any("newest" in sentence for sentence in sentences(browser, latency))
    kept = browser.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AS_MANY})
    browser.open(f"{partly.base}/dashboard")
    browser.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", kept)
    answers = browser.js("return window.looked_at")
    assert f"Of the newest {answers:,} answers of the period." in sentences(browser, latency)


def test_how_good_small_answers_are_is_on_the_first_screen(browser: Browser, partly: Server) -> None:
    quality = partly.report()["savings"]["routed"]["quality"]
    gap = quality["gap"]
    browser.open(f"{partly.base}/dashboard")
    mean, high, low = (-100 * gap[end] for end in ("mean", "high", "low"))
    assert (quality["pairs"], gap["graded"], high < mean < low < 0) == (320, 320, True)
    assert tiles(browser)["Small experts' answers"] == [
        f"{mean:.1f} points",
        "in score beside the fallback's answers to the same, 320 pairs graded",
        f"95\u00a0% interval {high:.1f} to {low:.1f} points",
    ]
    (who,) = sentences(browser, "Who answered")
    assert who == "sql 52 %, chat 48 % of 671 answers. 320 were held back: the fallback answered, to be compared."
    bottom = "return document.querySelector('#tiles').getBoundingClientRect().bottom"
    assert browser.js(bottom) < 600, "money, energy, carbon and quality are seen without scrolling"


def test_a_single_request_held_back_is_told_of_as_one(browser: Browser, partly: Server) -> None:
    kept = browser.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": ONE_HELD})
    browser.open(f"{partly.base}/dashboard")
    browser.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", kept)
    (who,) = sentences(browser, "Who answered")
    assert who.endswith(" 1 was held back: the fallback answered, to be compared.")


def test_what_clients_say_of_the_fallback_is_not_said_of_small_experts(browser: Browser, tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    registry.write_text(registry.read_text().replace("fallback: big", "fallback: cook"))  # which has examples too
    server = Server(tmp_path, registry).start()
    try:
        for text, who, score, told in (
            (RECIPE, "cook", 0.0, ["not rated", "Rate one in the playground, or send a score to POST /v1/feedback."]),
            (POEM, "poet", 1.0, ["100\u00a0%", "is the mean score of 1 answer that clients rated"]),
        ):
            body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
            answer = server.post("/v1/chat/completions", body)[1]
            assert answer["shoal"]["decision"]["reason"] == "smallest expert above its threshold"
            assert answer["shoal"]["decision"]["expert"] == who
            server.post("/v1/feedback", {"request_id": answer["shoal"]["request_id"], "score": score})
            rated = "1 answer with feedback" if who == "cook" else "2 answers with feedback"
            browser.open(f"{server.base}/dashboard")
            browser.until(lambda: rated in sentences(browser, "Is the judge as sure as it should be?")[0])  # noqa: B023
            assert tiles(browser)["Small experts' answers"] == told
        ece = json.loads(server.get("/v1/dashboard")[1])["calibration"]["ece"]
        (differ,) = sentences(browser, "Is the judge as sure as it should be?")
        assert differ == f"Stated and true differ by {100 * ece:.1f} points on average (2 answers with feedback)."
        printed = server.shoal("meter", "overview").stdout
        assert "100.0% is the mean score of a small expert's answer that clients rated." in printed
    finally:
        server.stop(signal.SIGKILL)


def test_what_counters_say_of_the_router_stands_beside_what_is_charged(browser: Browser, partly: Server) -> None:
    router = partly.report()["router"]
    browser.open(f"{partly.base}/dashboard")
    charged, counted = (
        in_page(browser, "wattHours(arguments[0])", router[name]) for name in ("energy_j", "by_counter_j")
    )
    less = in_page(
        browser, "wattHours(arguments[0], arguments[1])", -router["beyond_charged_j"], router["by_counter_j"]
    )
    (told,) = (each for each in sentences(browser, SOURCES) if "router's own work" in each)
    assert (router["by_counter_j"], router["beyond_charged_j"] < 0) == (0.024, True)
    said = f"Counters say {counted} for it, its work for no request in it: {less} less, in no sum."
    assert told.startswith(f"The router's own work took {charged} of it".replace("\u00a0", " "))
    assert said.replace("\u00a0", " ") in told
    assert "Idle devices took 3.33 µWh beside it" in told


Change = Callable[[str, dict[str, Any] | None], None]
CHEAP = {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.3, "source": "test", "as_of": "2026-11-01"}


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Change]]:
    """A server, and what sets an expert's price in its registry while it runs; None takes it away."""
    folder = tmp_path_factory.mktemp("changing")
    path = write_registry(folder)
    server = Server(folder, path).start()

    def change(expert: str, price: dict[str, Any] | None) -> None:
        told = yaml.safe_load(path.read_text())
        for one in told["experts"]:
            if one["id"] == expert:
                one.pop("price", None)
                one |= {"price": price} if price else {}
        path.write_text(yaml.safe_dump(told))
        server.wait(lambda: is_priced(server, expert) is bool(price))

    yield server, change
    server.stop(signal.SIGKILL)


def is_priced(server: Server, expert: str) -> bool:
    """Whether the registry that serves has a price of it."""
    experts = json.loads(server.get("/v1/dashboard")[1])["experts"]
    return bool(next(one for one in experts if one["id"] == expert)["priced"])


def ask(page: Browser, server: Server, text: str) -> tuple[list[str], str]:
    """The cells of the receipt's first row and all of its text, of a request sent from the playground."""
    page.open(f"{server.base}/playground")
    say(page, text)
    page.until(lambda: page.chrome.find_elements(By.CSS_SELECTOR, ".thumbs"))
    cells = "return [...document.querySelectorAll('#receipt-body tbody tr:first-child td')].map((one) => one.innerText)"
    return page.js(cells), page.text("#receipt-body")


def look(page: Browser, server: Server) -> tuple[list[str], list[str], list[str]]:
    """The Money tile, and in money the sentences of what was saved and of what was spent, of every request so far."""
    page.open(f"{server.base}/dashboard")
    told = f"{server.totals()['requests']} request"  # figures that were made a moment ago are sent once more
    page.until(lambda: page.text("#period-told").startswith(told))
    page.js(CHOOSE, "Money")
    return tiles(page)["Money saved"], sentences(page, SAVED), sentences(page, SPENT)


def test_a_price_that_is_missing_and_one_that_came_late_are_told_apart(
    browser: Browser, changing: tuple[Server, Change]
) -> None:
    server, change = changing
    cells, receipt = ask(browser, server, RECIPE)
    assert (cells[0], cells[2]) == ("no price", "unknown")
    assert "No price of cook is known: give it one in registry.yaml, and money is told too." in receipt
    tile, saved, _ = look(browser, server)
    assert (tile[0], tile[-1]) == ("unknown", "No price for cook: give one in registry.yaml.")
    assert "cook cost, which is not declared: give 'hardware' or 'price' in registry.yaml." in saved[0]
    drawn = "return [...document.querySelectorAll('.plot')].map((one) => one.checkVisibility())"
    assert browser.js(drawn) == [False, True, True], "of a curve nobody knows there is no empty axis"
    assert browser.text(".picture > .empty") == "Of this too little is known to draw it."
    change("cook", CHEAP)
    cells, receipt = ask(browser, server, RECIPE)
    assert (cells[0][0], "No price of" in receipt) == ("$", False)
    tile, saved, _ = look(browser, server)
    assert "No price for cook at some time; there is one now." in tile
    told = in_page(browser, "bound(arguments[0])", server.report()["savings"]["at_most"])
    assert (saved[0].startswith(f"{told} ("), f"{told}, all requests together." in tile) == (True, True)
    assert "not in it is what cook cost, which had no price at some time of this period, but has one now." in saved[0]
    change("big", None)
    cells, receipt = ask(browser, server, POEM)
    assert (cells[0][0], *cells[1:]) == ("$", "no price", "unknown")
    assert "No price of the fallback is known: give it one in registry.yaml, and money is told too." in receipt
    tile, saved, spent = look(browser, server)
    assert "The fallback has no price, so what was saved in money is unknown: give it 'price'," in saved[0]
    assert spent[0].startswith("The fallback has no price, so what was saved in money is unknown: give it 'price',")
    assert browser.js(DRAWN, SAVED)[0][0] == "saved so far, on the 1 of 3 requests of which all money is known"
    change("big", CHEAP)
    tile, saved, spent = look(browser, server)
    late = "The fallback had no price at some time of this period, so what was saved in money is unknown."
    assert saved[0].startswith(late)
    told = [each["told"] for each in server.report()["changed"]]
    assert [each.split(" (")[0].split()[:3] for each in told] == [["price", "of", who] for who in ("cook", "big")]
    line = f"What is charged changed within this period: {'; '.join(told)}."
    assert line in browser.text("#period-told").replace("\u00a0", " ")
    assert browser.complaints() == []


def test_a_fallback_that_failed_is_compared_with_nothing(browser: Browser, changing: tuple[Server, Change]) -> None:
    server, _ = changing
    cells, receipt = ask(browser, server, f"{HARD} BIGFAIL")
    assert len(cells) == 1, "there is nothing beside it"
    assert "The fallback was asked and failed, so there is nothing to compare with." in receipt
    assert browser.text("#receipt-chip") == ""
    _, _, spent = look(browser, server)
    assert "Left out: 1 for which the fallback was asked and failed." in spent[0]
    assert "For 1 it failed, and a small expert answered." in sentences(browser, WHY)[0]
    assert browser.complaints() == []


def test_what_small_experts_spend_on_paper_is_not_called_saved(browser: Browser, tmp_path: Path) -> None:
    """Their machines are there in any case, and the fallback is paid by use: no bill has what they are charged."""
    book = Book(tmp_path / "data" / "ledger.sqlite", make_intent, make_outcome)
    saved = priced_evenly(book, "chat", "fixed_small")
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        browser.open(f"{server.base}/dashboard")
        browser.js(CHOOSE, "Money")
        tile, words = tiles(browser)["Money saved"], browser.text("#panels")
    finally:
        server.stop(signal.SIGKILL)
    paper = dollars(round(-saved["allocated_usd"] * 1e9))
    assert saved["allocated_usd"] < 0
    assert f"{paper} spent on paper only" in tile
    assert f"{paper} of the small experts' machines, beyond the fallback's, is spent on paper only" in words
    assert "What was saved is that much more than the fallback alone less what was spent." in words
    assert "What was saved is that much more than the fallback alone less what was spent." in saved["text"]
    assert browser.complaints() == []
