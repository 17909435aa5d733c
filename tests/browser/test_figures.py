"""Every number a reader sees on the dashboard is a number of `shoal meter overview --json`, as the page writes it.

The page is sent exactly what the command prints, and shows nothing that it was not sent.
"""

from __future__ import annotations

import json
import math
import random
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.meter.record import Arm, Pair, Role
from router.meter.scale import DOLLARS, Scale, difference
from router.meter.units import GRAMS, WATT_HOURS, dollars, grams, watt_hours
from tests.browser.chromium import Browser
from tests.browser.test_dashboard import in_page, tiles
from tests.browser.test_playground import say
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small, tariffs
from tests.service.distant import distant_upstream
from tests.service.server import Server, still, write_registry

LIVE = ("loaded", "learnt", "left_out", "map", "made_at", "registry_version")
"""What only a running server knows: `shoal meter overview --server` prints it too."""

AS_SHOWN = """
  const done = arguments[arguments.length - 1];
  import("/web/js/format.js").then((f) => {
    const sizes = [1e-6, 3.6e-6, 1e-3, 3.6e-3, 1, 3.6, 1e3, 3.6e3, 3.6e6];
    const like = sizes.flatMap((size) => [(v) => f.wattHours(v, size), (v) => f.grams(v, size)]);
    const ways = [...like, (v) => f.wattHours(v), (v) => f.grams(v),
      f.dollars, f.count, f.number, f.seconds, f.memory, f.perDay, f.points,
      ...[0, 1, 2, 3, 4].map((places) => (v) => f.percent(v, places)),
      (v) => `${f.number(v)} W`, (v) => `${f.dollars(v)} a day`, String];
    done([...new Set(arguments[0].flatMap((value) => ways.map((way) => way(value))))]);
  });
"""

SCALED = """
  const [name, ...asked] = [...arguments];
  const done = asked.pop();
  import("/web/js/scale.js").then((scale) => done(scale[name](...asked)));
"""

READ = """
  const texts = (query) => [...document.querySelectorAll(query)].map((one) => one.textContent);
  return { cells: texts(".panel tbody td"), words: texts(".tile .figure, .tile .under, .tile .chip, .panel .summary, "
    + ".panel .notes, .panel .legend b, .panel .value, .panel .part span, .panel .aftermath, .panel .now, "
    + ".panel .pays .chip, .panel .pays .quiet, .panel .expert-card p:last-child")
    .concat(texts("#period-told").map((text) => text.replace(/ since .*?, \\d\\d:\\d\\d/, ""))) };
"""

CHOOSE = """
  for (const one of document.querySelectorAll(".segments button")) if (one.textContent === arguments[0]) one.click();
"""
CELLS = "return [...document.querySelectorAll('#receipt-body tbody tr:first-child td')].map((one) => one.textContent)"

KEEP = """
  const plain = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (String(asked[0]).startsWith("/v1/dashboard")) window.sent = await answer.clone().json();
    return answer;
  };
"""
"""Keeps what the page was sent, which a moment later would be another."""

NO_FIGURE = {
    "none", "unknown", "in the router", "ready", "not loaded", "yes", "no", "never", "the first request", "", "energy",
    "money", "undecided",
}  # fmt: skip
PERCENT = ("50", "95", "99")
"""Which percentiles and which interval are shown."""

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def numbers(value: Any) -> list[float]:
    """Every number in a JSON value."""
    if isinstance(value, dict):
        return [found for each in value.values() for found in numbers(each)]
    if isinstance(value, list):
        return [found for each in value for found in numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def overview(server: Server, *options: str) -> dict[str, Any]:
    done = server.shoal("meter", "overview", "--json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_page_is_sent_what_the_command_prints(server: Server) -> None:
    period = ("2026-01-01T00:00", "2036-01-01T00:00")
    sent = json.loads(server.get(f"/v1/dashboard?from={period[0]}&to={period[1]}")[1])
    printed = overview(server, "--from", period[0], "--to", period[1])
    asked = overview(server, "--from", period[0], "--to", period[1], "--server", server.base)
    for each in (sent, printed, asked):
        each["totals"] = still(each["totals"])
    assert {name: part for name, part in sent.items() if name not in LIVE} == printed
    assert asked.keys() == sent.keys()
    for name in ("learnt", "left_out", "map", "registry_version"):
        assert asked[name] == sent[name]
    assert asked["loaded"]["experts"].keys() == sent["loaded"]["experts"].keys()


@pytest.mark.parametrize("measure", ["Energy", "Money", "Carbon"])
def test_every_number_on_the_page_is_one_that_was_sent(browser: Browser, server: Server, measure: str) -> None:
    kept = browser.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": KEEP})
    browser.open(f"{server.base}/dashboard")
    browser.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", kept)
    browser.js(CHOOSE, measure)
    read, sent = browser.js(f"{READ.replace('return', 'const read =')} return [read, window.sent]")
    shown = {*browser.chrome.execute_async_script(AS_SHOWN, numbers(sent)), *together(sent["totals"])}
    digits = {number for text in shown for number in NUMBER.findall(text)}
    shown |= {row["saved_by"] for row in sent["break_even"].values()}  # words, sent as they stand there
    assert len(read["cells"]) > 100
    assert sorted({cell for cell in read["cells"] if cell not in NO_FIGURE and cell not in shown}) == []
    missing = {number: text for text in read["words"] for number in NUMBER.findall(text) if number not in digits}
    assert {number: text for number, text in missing.items() if number not in PERCENT} == {}


def together(totals: dict[str, Any]) -> set[str]:
    """Amounts of the page that stand beside others, as the report tells them."""
    told: set[str] = set()
    for of in (totals["savings"], totals["savings"]["same_token_guess"]):
        for name in ("cost_usd", "energy_j", "co2_g"):
            told |= set(sides(of, name, totals["savings"]))
    sources = list(totals["energy_by_method"].values())
    scale = Scale.of(WATT_HOURS, [totals["energy_j"], *sources])
    told |= {scale.told(totals["energy_j"]), scale.told(0.0), *scale.parts(sources, totals["energy_j"])}
    return {each.replace(" ", "\u00a0") for each in told}


def test_amounts_that_stand_together_are_those_of_the_report(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard")
    draw = random.Random(7)  # noqa: S311
    for units in (DOLLARS, WATT_HOURS, GRAMS):
        for _ in range(40):
            alone, part, paper = 10 ** draw.uniform(-8, 5), draw.uniform(-0.2, 1.1), draw.choice((0, 0.1))
            sides = (alone, alone * part, alone * (1 - part - paper), alone * paper)
            shown = browser.chrome.execute_async_script(SCALED, "difference", list(units), *sides)
            assert [each.replace("\u00a0", " ") for each in shown] == list(difference(units, *sides))
            amounts = [alone * part**2, alone * paper, alone]
            shown = browser.chrome.execute_async_script(SCALED, "parts", list(units), amounts, math.fsum(amounts))
            scale = Scale.of(units, [math.fsum(amounts), *amounts])
            assert [each.replace("\u00a0", " ") for each in shown[1]] == scale.parts(amounts, math.fsum(amounts))


AMOUNTS = (
    0, 1, 7, 116, 999, 1_200, 54_321, 999_600, 9_996_000, 12_345_678, 99_960_000, 123_456_789, 999_700_000,
    1_234_567_890, 3_598_500_000, 54_321_000_000, 1_234_567_890_000, 987_654_321_000_000, 3_600_000_000_000_000,
    5_475_000, 4_755_000, 1_005_000_000,
)  # fmt: skip
"""Of the ledger's own units, of every size."""


def test_the_page_writes_amounts_as_the_command_does(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard")
    ways = (("dollars", dollars, 1e9), ("wattHours", watt_hours, 1e6), ("grams", grams, 1e6))
    for name, written, unit in ways:
        for amount in (*AMOUNTS, *(-each for each in AMOUNTS)):
            shown = in_page(browser, f"{name}(arguments[0])", amount / unit)
            assert shown.replace("\u00a0", " ") == written(amount)


def test_days_are_those_of_reports_wherever_the_browser_is(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard")
    midnight = 1_795_651_200
    assert f"{datetime.fromtimestamp(midnight, UTC):%Y-%m-%d %H:%M}" == "2026-11-26 00:00"
    try:
        for zone, time in (("America/New_York", "25 Nov, 19:00"), ("Asia/Tokyo", "26 Nov, 09:00")):
            browser.chrome.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": zone})
            for step in (86_400, 3 * 86_400):
                assert in_page(browser, "moment(arguments[0], arguments[1])", midnight, step) == "26 Nov"
            assert in_page(browser, "moment(arguments[0], arguments[1])", midnight, 3600) == time
    finally:
        browser.chrome.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


@pytest.mark.parametrize("size", ["", "70"])
def test_figures_that_rest_on_an_assumed_size_say_so(browser: Browser, tmp_path: Path, size: str) -> None:
    with distant_upstream() as upstream:
        env = {"SHOAL_FALLBACK_URL": upstream.url, "SHOAL_FALLBACK_MODEL": "ok", "SHOAL_FALLBACK_PARAMS_B": size}
        server = Server(tmp_path, write_registry(tmp_path), env).start()
        try:
            browser.open(f"{server.base}/playground")
            say(browser, "write a poem about the sea")
            browser.until(lambda: browser.text("#receipt-body table"))
            receipt = browser.text("#receipt-body")
            browser.open(f"{server.base}/dashboard")
            energy, panels = tiles(browser)["Energy saved"], browser.text("#panels")
            report, told = server.shoal("meter", "report").stdout, server.report()
        finally:
            server.stop(signal.SIGKILL)
    assert f"at {upstream.url.split('/')[2]}" in panels
    assert told["counterfactual"]["assumed_params_b"] == ({} if size else {"fallback": 8.0})
    for text in (receipt, panels, " ".join(report.split())):
        assert ("fallback is assumed (8 billion parameters)" in text) is (not size)
        assert ("SHOAL_FALLBACK_PARAMS_B" in text) is (not size)
    assert ("The fallback's size is assumed." in energy) is (not size)


def test_a_measured_figure_has_both_intervals_and_the_usual_figure_beside(browser: Browser, tmp_path: Path) -> None:
    book = Book(tmp_path / "data" / "ledger.sqlite", make_intent, make_outcome)
    for number in range(150):
        held = big(90 + number % 17, energy_uj=9000 + 31 * number % 700)
        book.add([held], arm=Arm.HOLDBACK, shadow=small(50 + number % 23, role=Role.SHADOW), pair=Pair(number % 3 == 0))
        book.add([small(50 + number % 29)], arm=Arm.NORMAL)
    book.write()
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        routed = server.report()["savings"]["routed"]
        browser.open(f"{server.base}/dashboard")
        summary, notes = browser.text(".panel .summary"), browser.text(".panel .notes")
    finally:
        server.stop(signal.SIGKILL)
    low, high = (in_page(browser, "percent(arguments[0], 1)", routed["coefficients"][end]) for end in ("low", "high"))
    ends = (routed["low"]["energy"], routed["high"]["energy"])
    assert f"95\u00a0% interval {in_page(browser, 'interval(arguments[0], arguments[1])', *ends)}, by 150" in summary
    assert f"in doubt too, it is within {low} to {high}." in notes
    usual = in_page(browser, "percent(arguments[0], 1)", routed["same_tokens"]["energy"])
    assert f"The same-token guess says {usual}: answers of another length make " in notes
    assert "Of 150 pairs of answers 33\u00a0% were the same" in notes


def sides(of: dict[str, Any], name: str, beside: dict[str, Any] | None = None) -> tuple[str, str, str]:
    """The fallback alone, what was spent and what was saved, as they stand together, and `beside` others."""
    units = {"cost_usd": DOLLARS, "energy_j": WATT_HOURS, "co2_g": GRAMS}[name]
    paper = (of["allocated_usd"] or 0.0) if name == "cost_usd" else 0.0
    both = of, beside or of
    own, others = ([side[name] for side in (told["counterfactual"], told["spent"], told)] for told in both)
    return difference(units, *own, paper, others)


PANEL = """
  const panel = [...document.querySelectorAll(".panel")].find((one) => one.querySelector("h2").textContent
    === "Spent, beside the fallback alone");
  return [panel.querySelector(".summary").textContent, panel.querySelector(".notes").textContent];
"""


def test_the_fallback_alone_is_one_amount_and_the_guess_stands_apart(browser: Browser, tmp_path: Path) -> None:
    """A fallback on fixed machines, measured; the page showed the guess in one place and the figure in another."""
    book = Book(tmp_path / "data" / "ledger.sqlite", make_intent, make_outcome)
    told = {"body": tariffs("fixed", sql="list", fixed="list"), "fallback": "fixed"}
    dear, cheap = ({"price_version": "list", "cost_nusd": nusd} for nusd in (40_000, 900))
    for number in range(400):
        held = replace(big(90, 9_000_000 + 31_000 * number, "fixed"), co2_ug=900 + number, **dear)
        beside = replace(small(50 + number % 23, role=Role.SHADOW), **cheap)
        book.add([held], arm=Arm.HOLDBACK, shadow=beside, **told)
        book.add([replace(small(50 + number % 29), co2_ug=7, **cheap)], arm=Arm.NORMAL, **told)
    for _ in range(50):
        book.add([replace(small(role=Role.NAMED), **cheap)], arm=None, policy="", **told)
    book.write()
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        saved, text = server.report()["savings"], " ".join(server.shoal("meter", "report").stdout.split())
        browser.open(f"{server.base}/dashboard")
        money, panels = tiles(browser)["Money saved"], {}
        for measure in ("Energy", "Money", "Carbon"):
            browser.js(CHOOSE, measure)
            panels[measure] = [part.replace("\u00a0", " ") for part in browser.js(PANEL)]
        browser.js(CHOOSE, "Energy")
        assert "in which each token it writes takes less; that is counted." in browser.text("body")
    finally:
        server.stop(signal.SIGKILL)
    guess, batches = saved["same_token_guess"], saved["routed"]["by_fallback"]["fixed"]["fixed_capacity"]
    assert (saved["standing"], saved["requests"], guess["requests"]) == ("published", 800, 800)
    assert batches["batch_alone"] > batches["batch"]
    for measure, name in (("Energy", "energy_j"), ("Money", "cost_usd"), ("Carbon", "co2_g")):
        summary, notes = panels[measure]
        for of, where in ((saved, summary), (guess, notes)):
            both = sides(of, name, saved)[:2]
            assert f"On 800 requests {both[1]} was really spent, {both[0]} by the fallback alone" in where
            assert all(amount in text for amount in both), f"the report says {both} too"
        assert saved["counterfactual"][name] != guess["counterfactual"][name]
        assert ": measured, published. Left out: 50 for which a model was named." in summary
        assert ("in the batches of today" in notes) is (measure != "Money")
        assert "it does not add up to what is said above" in notes
    alone, spent, more = sides(saved, "cost_usd")
    assert f"{more[1:]} more really paid than the {alone} that the fallback alone would have cost" in money
    assert f"{spent} spent in all" not in money, "who named a model is in the sum of all"
    assert f"{dollars(round(saved['allocated_usd'] * 1e9))} saved on paper only" in money
    assert f"{dollars(round(saved['allocated_usd'] * 1e9))} of the fallback's machines" in panels["Money"][0]


def test_money_of_machines_that_are_there_anyway_is_on_paper(browser: Browser, tmp_path: Path) -> None:
    """A fallback on a fixed machine that names a price: what small experts answer leaves no bill."""
    with distant_upstream() as upstream:
        told = yaml.safe_load(write_registry(tmp_path).read_text())
        big = next(one for one in told["experts"] if one["id"] == "big")
        for name in ("script", "capabilities"):
            del big[name]
        big |= {"kind": "openai", "url": upstream.url, "model": "ok", "capacity": "fixed"}
        path = tmp_path / "registry.yaml"
        path.write_text(yaml.safe_dump({**told, "savings": {"holdback": 0}}))
        server = Server(tmp_path, path).start()
        try:
            browser.open(f"{server.base}/playground")
            say(browser, "write a poem about the sea")
            browser.until(lambda: browser.text("#receipt-body table"))
            receipt, cells = browser.text("#receipt-body"), browser.js(CELLS)
            browser.open(f"{server.base}/dashboard")
            browser.js(CHOOSE, "Money")
            money, panels = tiles(browser)["Money saved"], browser.text("#panels")
            saved = server.report()["savings"]
        finally:
            server.stop(signal.SIGKILL)
    paper = dollars(round(saved["allocated_usd"] * 1e9))
    assert saved["cost_usd"] == -saved["spent"]["cost_usd"] < 0 < saved["allocated_usd"]
    assert saved["fallback_bill_avoided"]["usd"] == 0
    alone, _, more = sides(saved, "cost_usd")
    assert f"{more[1:]} more really paid than the {alone} that the fallback alone would have cost" in money
    assert f"{paper} saved on paper only" in money
    assert f"{paper} of the fallback's machines is saved on paper only: they are there in any case." in panels
    assert "of what the fallback costs is its machine's, which is there in any case: that is not saved." in receipt
    assert cells[2].startswith("-"), "the small expert's price is paid beside the machine"


def test_an_answer_of_a_machine_that_is_there_anyway_says_what_of_its_cost_is_not_taken_off(
    browser: Browser, tmp_path: Path
) -> None:
    """Else the share saved is not the difference of the two amounts beside it, and nothing says why."""
    with distant_upstream() as upstream:
        told = yaml.safe_load(write_registry(tmp_path).read_text())
        poet = next(one for one in told["experts"] if one["id"] == "poet")
        for name in ("script", "price"):
            del poet[name]
        machine = {"capex_usd": 30000, "power_w": 700, "usd_per_kwh": 0.12, "tokens_per_s": 3500, "source": "quote"}
        poet |= {"kind": "openai", "url": upstream.url, "model": "ok", "capacity": "fixed"}
        poet |= {"hardware": {**machine, "as_of": "2026-11-01"}}
        path = tmp_path / "registry.yaml"
        path.write_text(yaml.safe_dump({**told, "savings": {"holdback": 0}}))
        server = Server(tmp_path, path).start()
        try:
            browser.open(f"{server.base}/playground")
            say(browser, "write a poem about the sea")
            browser.until(lambda: browser.text("#receipt-body table"))
            receipt, savings = browser.text("#receipt-body"), server.report()["savings"]
        finally:
            server.stop(signal.SIGKILL)
    assert savings["allocated_usd"] < 0
    paper = dollars(round(-savings["allocated_usd"] * 1e9))
    told = "of what this answer cost is a machine's that is there in any case: that is not taken off what is saved."
    assert f"{paper} {told}" in receipt


SAVED_SO_FAR = """
  const [found, share, done] = arguments;
  for (const name of ["share", "low", "high", "same_tokens"]) found.savings.energy[name] = share;
  found.series.t_s = share.map((_, at) => 1_700_000_000 + 60 * at);
  import("/web/js/spending.js").then(({ savingsPanel }) => {
    const { panel, show } = savingsPanel();
    show(found);
    done([...panel.element.querySelectorAll("tbody tr")].map((row) => row.children[1].textContent));
  });
"""


MONEY_TILE = """
  const [found, measured, done] = arguments;
  const { savings } = found.totals;
  const most = { usd: 0.5, share: 0.1, others_usd: 0.2, no_price: ["cook"] };
  Object.assign(savings, { cost_usd: null, priced_part: null, at_most: most });
  savings.requests = measured ?? savings.routed.whole.requests;
  import("/web/js/tiles.js").then(({ tiles }) => done(tiles(found).find((one) => one.title === "Money saved").lines));
"""


def test_a_bound_on_all_that_was_saved_says_of_which_requests_it_is(browser: Browser, server: Server) -> None:
    """Requests that came while nobody was held back are no part of what is measured."""
    browser.open(f"{server.base}/dashboard")
    found = json.loads(server.get("/v1/dashboard")[1])
    whole = found["totals"]["savings"]["routed"]["whole"]["requests"]
    assert whole > 1
    bound = in_page(browser, "bound({usd: 0.5})")
    for measured, told in (
        (None, "all requests together"),
        (1, f"the 1 of {whole} requests that were measured together"),
    ):
        assert f"{bound}, {told}." in browser.chrome.execute_async_script(MONEY_TILE, found, measured)


SAVED_ON_A_PART = """
  const [found, measured, share, done] = arguments;
  const { savings } = found.totals;
  const { routed } = savings;
  Object.assign(savings, { cost_usd: -1, requests: measured ?? routed.whole.requests });
  const share_of_spent = { cost: share, energy: 0.1, co2: 0.1 };
  Object.assign(routed.outside, { requests: 3, why: { too_few: 3 }, share_of_spent });
  const told = { cost: { share: [-1], low: [-1], high: [-1] } };
  Promise.all(["tiles", "saved"].map((name) => import(`/web/js/${name}.js`))).then(([{ tiles }, { verdict }]) => done([
    tiles(found).filter((one) => one.title.endsWith(" saved")).map((one) => one.lines[0]),
    verdict("cost", told, { ...routed, measured_on: { conversations: 30 } }).find((one) => one.includes("leaves out")),
  ]));
"""


def test_savings_of_a_part_of_the_requests_say_so(browser: Browser, server: Server) -> None:
    """What is outside may be few requests and most of the money."""
    browser.open(f"{server.base}/dashboard")
    found = json.loads(server.get("/v1/dashboard")[1])
    whole = found["totals"]["savings"]["routed"]["whole"]["requests"]
    assert whole > 1
    for measured, told in ((None, None), (1, f", on 1 of {whole} requests")):
        lines, _ = browser.chrome.execute_async_script(SAVED_ON_A_PART, found, measured, None)
        assert len(lines) == 3
        assert all(line.endswith(told) if told else " requests" not in line for line in lines), lines
    for share, told in ((0.96, "3 requests, 96.0\u00a0% of the money spent: 3 under"), (None, "3 requests: 3 under")):
        assert told in browser.chrome.execute_async_script(SAVED_ON_A_PART, found, 1, share)[1]


def test_a_step_at_which_no_estimate_was_made_is_not_said_to_have_saved_none(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard")
    found = json.loads(server.get("/v1/dashboard")[1])
    for share, told in (
        ([None, 0.372, None, None, 0.25], ["37.2\u00a0%", "25.0\u00a0%"]),
        ([None, None], ["none"] * 2),
    ):
        assert browser.chrome.execute_async_script(SAVED_SO_FAR, found, share) == told
