"""The pages, as a server sends them."""

from __future__ import annotations

import hashlib
import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.api.pages import FOLDER, TYPES
from router.meter.tariff import Tariffs
from tests.router.meter.test_rollup import roll_up
from tests.router.meter.traffic import entries, fill, registry
from tests.service.distant import distant_upstream
from tests.service.server import Server, still, write_registry

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
)


@pytest.mark.parametrize("path", ["/dashboard", "/playground", "/web/vendor/uplot/uPlot.iife.min.js", "/web/icon.svg"])
def test_every_page_comes_under_a_strict_policy(shared, path: str) -> None:
    status, body, headers = shared.send("GET", path, None, None)
    assert (status, bool(body)) == (200, True)
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    again = shared.send("GET", path, None, {"if-none-match": headers["etag"]})
    assert again[:2] == (304, b"")
    assert again[2]["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/web/", "/web/../settings.py", "/web/%2e%2e/settings.py", "/web//dashboard.html", "/web/vendor", "/web/x.js",
        "/web/vendor/uplot/SOURCE.yaml", "/dashboard/x", "/web/..%5csettings.py", "/web/dashboard.html%00",
    ],
)  # fmt: skip
def test_nothing_else_is_served(shared, path: str) -> None:
    status, body = shared.get(path)
    assert status == 404
    assert json.loads(body)["error"]["code"] == "unknown_url"


def test_a_browser_without_a_path_is_shown_the_playground(shared) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", shared.port, timeout=30)) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["location"]) == (307, b"", "/playground")


def test_pages_are_open_and_their_data_is_not(start, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-key", SHOAL_ADMIN_KEY="a-key-of-the-dashboard")
    assert server.get("/dashboard")[0] == server.get("/web/icon.svg")[0] == 200
    assert server.get("/v1/dashboard")[0] == 401
    status, body = server.get("/v1/dashboard", {"authorization": "Bearer a-key-of-the-dashboard"})
    assert (status, json.loads(body)["totals"]["requests"]) == (200, 0)


def test_the_command_shows_a_server_the_key_for_figures(start, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-key", SHOAL_FIGURES_KEY="reads-figures")
    assert server.get("/v1/dashboard")[0] == server.get("/metrics")[0] == 401
    assert server.shoal("meter", "overview", "--json", "--server", server.base).returncode == 0
    server.env = {"SHOAL_FIGURES_KEY": "a-key"}
    done = server.shoal("meter", "overview", "--server", server.base)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"--server: {server.base} answers 403: Your key sees its own figures only" in done.stderr
    assert done.stderr.endswith("Remedy: put a key that reads figures into SHOAL_FIGURES_KEY.\n")


@pytest.fixture(scope="module")
def own(start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server whose ledger holds what these tests ask, and nothing else."""
    return start(write_registry(tmp_path_factory.mktemp("registry")))


def test_whoever_gives_the_command_a_page_is_told_what_to_give(own) -> None:
    done = own.shoal("meter", "overview", "--server", f"{own.base}/dashboard")
    assert f"--server: {own.base}/dashboard answers 404: Unknown URL." in done.stderr
    assert done.stderr.endswith("Remedy: give the address of a Shoal alone, as http://127.0.0.1:8080.\n")


def test_the_figures_are_those_of_the_command_line(own) -> None:
    for text in ("write a poem about the sea", "recipe for banana bread", "explain the halting problem", "BREAK poem"):
        own.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
    found = json.loads(own.get("/v1/dashboard")[1])
    assert still(found["totals"]) == still(own.report())
    assert found["totals"]["requests"] == len(found["map"]["requests"]) == 4
    assert {domain["label"] for domain in found["map"]["domains"]} == {"poet", "cook"}
    assert found["left_out"]["n"] == 20
    assert set(found["loaded"]["experts"]) == {"poet", "cook", "big"}
    assert found["loaded"]["router"]["resident_mb"] > 50
    asked = own.shoal("meter", "overview", "--json", "--server", own.base)
    assert asked.returncode == 0, asked.stderr
    of_server = json.loads(asked.stdout)
    read = own.shoal("meter", "overview", "--json")
    of_ledger = json.loads(read.stdout)
    assert still(of_server["totals"]) == still(of_ledger["totals"]) == still(found["totals"])
    for name in ("escalations", "latency", "calibration"):
        assert of_server[name] == of_ledger[name] == found[name]


def test_a_narrow_terminal_breaks_no_word_and_no_figure(own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    own.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": "recipe for bread"}])
    shown = own.shoal("meter", "overview", "--server", own.base).stdout
    assert {"requests", "share", "declared", "resident", "waiting", "first", "stated"} <= set(shown.split())
    report = own.shoal("meter", "report").stdout
    router = next(line for line in report.splitlines() if line.startswith("the "))
    assert {f"{share}%" for share in range(101)} & set(router.split()), "the bar gives way, not the figure"


def test_the_command_prints_what_only_a_server_knows_when_it_asks_one(own) -> None:
    for text in (
        "write a poem about the sea",
        "a haiku on autumn LATEFAIL",
        "recipe for rye bread",
        "explain the halting problem",
    ):
        own.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
    found = json.loads(own.shoal("meter", "overview", "--json", "--server", own.base).stdout)
    asked = " ".join(own.shoal("meter", "overview", "--server", own.base).stdout.split())
    read = " ".join(own.shoal("meter", "overview").stdout.split())
    why, known, loaded = found["escalations"], found["left_out"], found["loaded"]
    for text in (asked, read):
        assert f"Escalations: {why['to_fallback']} of {found['totals']['requests']}, {why['share']:.1%}" in text
        assert (
            f"They looked most like domain requests {' '.join(f'{k} {n}' for k, n in why['by_domain'].items())}" in text
        )
        assert "Totals, savings and where energy figures come from: shoal meter report." in text
    off = f"off by {100 * known['ece']:.1f} points on average, {known['turned_out']:.1%} turned out well"
    assert f"{off}, n {known['n']}" in asked
    for row in known["bins"]:
        ends = f"{row['from']:.0%} to {row['to']:.0%}"
        assert f"{ends} {row['stated']:.1%} {row['turned_out']:.1%} {row['n']}" in asked
    for who, one in loaded["experts"].items():
        size = next(each["params_b"] for each in found["experts"] if each["id"] == who)
        assert f"{who} ready {size:g}B {one['declared_mb']} MB" in asked
    assert f"{loaded['ready']} of {loaded['known']} loaded; {loaded['declared_mb']} MB of the budget of" in asked
    assert "off by" not in read and "What is loaded and its memory, how sure the judge is of known examples" in read


@pytest.mark.parametrize("command", [("overview",), ("report",)])
def test_a_new_ledger_is_told_of_too(start, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = start(write_registry(tmp_path)).shoal("meter", *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("nothing yet" if command == ("overview",) else "No requests from the beginning to now.") in done.stdout


def test_break_even_is_beside_the_fallback_of_the_rows_whatever_the_shell_says(start, tmp_path: Path) -> None:
    with distant_upstream() as upstream:
        fallback = {"SHOAL_FALLBACK_URL": upstream.url, "SHOAL_FALLBACK_MODEL": "ok"}
        server = start(write_registry(tmp_path), **fallback, SHOAL_FALLBACK_LIST_PRICE="openai/gpt-4o")
        for text in ("write a poem about the sea", "recipe for banana bread", "explain the halting problem"):
            server.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
        ends = ("meter", "overview", "--from", "2026-01-01", "--to", "2036-01-01")
        told = [json.loads(server.shoal(*ends, "--json").stdout)["break_even"]]
        server.env = {}
        told.append(json.loads(server.shoal(*ends, "--json").stdout)["break_even"])
        shown = " ".join(server.shoal(*ends).stdout.split())
    assert told[0] == told[1]
    poet, cook, big = (told[1][name] for name in ("poet", "cook", "big"))  # `big` is this registry's fallback
    assert poet["money"]["saved_usd_per_request"] > 0
    assert (cook["money"]["pays"], cook["money"]["unknown"]) == (None, "no price of cook")
    assert (big["requests_per_day"], big["energy"]["unknown"]) == (0.0, "nobody asked it in this period")
    assert "cook: in money unknown, no price of cook" in shown


@pytest.mark.parametrize("query", ["from=yesterday", "to=2026-13-01", "from=99999-01-01"])
def test_a_wrong_date_is_told(shared, query: str) -> None:
    status, body = shared.get(f"/v1/dashboard?{query}")
    assert (status, json.loads(body)["error"]["param"]) == (400, query.partition("=")[0])


def test_no_file_holds_anything_inline_or_from_elsewhere() -> None:
    own = [path for path in FOLDER.rglob("*") if path.suffix in TYPES and "vendor" not in path.parts]
    for path in own:
        text = path.read_text()
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "http:"):
            assert forbidden not in text.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
                '"http://www.w3.org/2000/svg"', ""
            ), f"{path.name}: {forbidden}"
        if path.suffix == ".js":
            assert len(text.splitlines()) <= 300, path.name


def test_the_vendored_library_is_what_its_source_says() -> None:
    folder = FOLDER / "vendor" / "uplot"
    source = yaml.safe_load((folder / "SOURCE.yaml").read_text())
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in source["sha256"]} == source[
        "sha256"
    ]
    assert "MIT" in (folder / "LICENSE").read_text()


async def test_hours_that_are_not_added_up_are_told_until_they_are(start, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))  # adds up when it starts and a minute later, so what comes now waits
    path = server.ledger
    await fill(path, list(entries(Tariffs.of_registry(registry()), 200)))
    told = []
    for hours in (0, 2, 3):
        await roll_up(path, hours=hours)
        totals = json.loads(server.get("/v1/dashboard")[1])["totals"]
        assert totals["requests"] == 200
        told.append(totals["adding_up"])
    assert told == [{"hours": 0, "of": 5}, {"hours": 2, "of": 5}, None]
    assert json.loads(server.get("/v1/meter")[1]) == totals


def test_the_map_is_the_same_after_a_restart(start, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    for text in ("write a poem about the sea", "recipe for banana bread", "explain the halting problem"):
        server.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
    server.client().chat.completions.create(model="poet", messages=[{"role": "user", "content": "a haiku"}])

    def seen() -> Any:
        return json.loads(server.get("/v1/dashboard")[1])["map"]

    before = seen()
    experts = [(one["expert"], one["escalated"]) for one in before["requests"]]
    assert experts == [("poet", False), ("cook", False), ("big", True)], "the oldest first; one that was named is none"
    server.stop()
    server.start()
    assert seen() == before
