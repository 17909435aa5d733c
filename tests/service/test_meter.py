"""The ledger over HTTP: the same as on the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from experts.extras import install
from router.meter.units import grams
from tests.service.server import Server, still, write_registry
from tests.service.test_keys import bearer, create

ADMIN_KEY = "secret-admin-key"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture(scope="module")
def asked(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = start(write_registry(tmp_path_factory.mktemp("registry")), SHOAL_ADMIN_KEY=ADMIN_KEY)
    with server.client() as client:
        for text in ("write a poem about the sea", "recipe for banana bread", "explain the halting problem"):
            client.chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
    return server


@pytest.mark.parametrize(
    "query", ["", "?group_by=expert", "?from=2026-01-01&group_by=day", "?to=2026-01-01", "?period=2020"]
)
def test_totals_are_those_of_the_command(asked: Server, query: str) -> None:
    status, body = asked.get(f"/v1/meter{query}")
    assert status == 200
    named = {"from": "--from", "to": "--to", "period": "--period", "group_by": "--group-by"}
    words = [word for part in query[1:].split("&") if part for word in (named[part.split("=")[0]], part.split("=")[1])]
    done = asked.shoal("meter", "report", "--json", *words)
    told, printed = json.loads(body), json.loads(done.stdout)
    assert told["idle"].keys() == printed["idle"].keys()
    assert told["energy_with_idle_j"] <= printed["energy_with_idle_j"]
    assert still(told) == still(printed)


def test_the_file_is_for_the_admin_alone(asked: Server) -> None:
    assert asked.get("/admin/ledger")[0] == 401
    status, body, headers = asked.send("GET", "/admin/ledger?format=csv", None, ADMIN)
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    table = list(csv.DictReader(io.StringIO(body.decode())))
    report = asked.report()
    assert sum(int(row["x_energy_uj"]) for row in table) == round(report["energy_j"] * 1e6)
    done = asked.shoal("meter", "export", "--format", "jsonl")
    lines = asked.send("GET", "/admin/ledger?format=jsonl", None, ADMIN)[1].decode()
    assert lines == done.stdout == asked.shoal("meter", "export", "--json").stdout
    refused = asked.shoal("meter", "export", "--json", "--format", "parquet")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)


def test_a_file_whose_library_is_missing_is_an_error_and_none_that_breaks_off(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError\n")
    server = start(write_registry(tmp_path), SHOAL_ADMIN_KEY=ADMIN_KEY, PYTHONPATH=str(tmp_path))
    status, body, _ = server.send("GET", "/admin/ledger?format=parquet", None, ADMIN)
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, "format", "unsupported_value")
    assert error["message"] == f"Parquet needs pyarrow. Remedy: {install('parquet')}, or choose csv or jsonl."


def test_a_file_of_a_damaged_ledger_is_an_error_and_none_that_breaks_off(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path), SHOAL_ADMIN_KEY=ADMIN_KEY)
    ledger = server.ledger
    for file in ledger.parent.glob(f"{ledger.name}*"):
        if file.is_file():
            file.unlink()
    ledger.write_bytes(b"no ledger at all" * 1000)
    status, body, _ = server.send("GET", "/admin/ledger", None, ADMIN)
    assert (status, json.loads(body)["error"]["code"]) == (503, "meter_unavailable")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/meter?group_by=mood", "group_by"),
        ("/v1/meter?grid_zone=Narnia", "grid_zone"),
        ("/v1/meter?group-by=key", "group-by"),
        ("/v1/dashboard?group_by=key", "group_by"),
        ("/admin/ledger?form=csv", "form"),
        ("/v1/meter?from=yesterday", "from"),
        ("/v1/meter?to=9999-12-31T23:59-12:00", "to"),
        ("/v1/meter?from=2026-11-02&to=2026-11-01", "from"),
        ("/v1/meter?period=2026-13", "period"),
        ("/v1/dashboard?period=24h&to=2026-11-01", "period"),
        ("/admin/ledger?format=xls", "format"),
        ("/v1/meter?period=7d&period=24h", "period"),
        ("/admin/ledger?format=csv&format=jsonl", "format"),
    ],
)
def test_a_wrong_question_is_told_so(asked: Server, path: str, param: str) -> None:
    status, body, _ = asked.send("GET", path, None, ADMIN)
    assert (status, json.loads(body)["error"]["param"]) == (400, param)


def test_the_plus_of_an_offset_is_a_blank_in_an_address(asked: Server) -> None:
    status, body = asked.get("/v1/meter?from=2026-11-01T01:00+01:00", ADMIN)
    message = "from: '2026-11-01T01:00 01:00' is no date. Remedy: write it as 2026-11-21 or 2026-11-21T08:00"
    assert (status, json.loads(body)["error"]["message"]) == (400, f"{message}, with the + of an offset as %2B.")
    assert asked.get("/v1/meter?from=2026-11-01T01:00%2B01:00", ADMIN)[0] == 200


def test_the_audit_finds_nothing(asked: Server) -> None:
    done = asked.shoal("meter", "audit", "--json")
    found = json.loads(done.stdout)
    assert (found["findings"], done.returncode, found["requests"]) == ([], 0, 3)


def test_the_audit_finds_what_was_taken_out(asked: Server, tmp_path: Path) -> None:
    """Of a copy of the ledger, made while the server writes it."""
    with (
        closing(sqlite3.connect(asked.ledger)) as ledger,
        closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as copy,
    ):
        ledger.backup(copy)
        copy.execute("DELETE FROM attempts WHERE request_id = (SELECT min(request_id) FROM requests)")
        copy.commit()
    env = {**os.environ, "SHOAL_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "shoal", "meter", "audit"]
    text, machine = (
        subprocess.run([*command, *more], env=env, capture_output=True, text=True) for more in ([], ["--json"])
    )
    assert (text.returncode, machine.returncode) == (1, 1)
    assert re.search(r"^hour \d{4}-\d\d-\d\d \d\d:00 UTC: seal of requests and attempts is ", text.stdout, re.M)
    assert "were changed, added or taken out" in text.stdout
    told = json.loads(machine.stdout)
    assert (told["ok"], told["by_figure"]["seal of requests and attempts"]) == (False, 1)


def test_a_key_sees_its_own_figures_and_the_admin_key_all(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-key-of-the-meter", SHOAL_ADMIN_KEY=ADMIN_KEY)
    one, some = create(server, "one"), create(server, "cook only", "--model", "cook")
    for key, times in ((one, 2), (some, 1)):
        with server.client(api_key=key["key"]) as client:
            for _ in range(times):
                client.chat.completions.create(model="cook", messages=[{"role": "user", "content": "a poem"}])

    def told(bearing: dict[str, str], query: str = "?group_by=key") -> dict[str, Any]:
        status, body = server.get(f"/v1/meter{query}", bearing)
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    whole = told(ADMIN)
    assert {name: each["requests"] for name, each in whole["groups"].items()} == {one["id"]: 2, some["id"]: 1}
    assert {name: each["name"] for name, each in whole["groups"].items()} == {one["id"]: "one", some["id"]: "cook only"}
    printed = server.shoal("meter", "report", "--group-by", "key", "--json")
    assert json.loads(printed.stdout)["groups"] == whole["groups"]
    for key in (one, some):
        own = told(bearer(key))
        assert own["key"] == key["id"]
        assert own["groups"] == {key["id"]: whole["groups"][key["id"]]}
        assert own["requests"] == own["by_expert"]["cook"]["requests"] == whole["groups"][key["id"]]["requests"]
        assert own["input_tokens"] == whole["groups"][key["id"]]["input_tokens"] > 0
        assert own["sci"]["accepted_answers"] == own["requests"]
        assert told(bearer(key), "?group_by=expert")["groups"].keys() == {"cook"}
    nothing = told({"authorization": "Bearer a-key-of-the-meter"})
    assert (nothing["requests"], nothing["groups"], nothing["idle"]) == (0, {}, {})
    assert server.get("/v1/models", ADMIN)[0] == 403


def test_a_ledger_that_cannot_be_read_is_told_in_openais_shape(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    server.ledger.unlink()
    for path in ("/v1/meter", "/v1/dashboard"):
        status, body = server.get(path)
        assert (status, json.loads(body)["error"]["code"]) == (503, "meter_unavailable")


def test_wrong_usage_is_told_from_a_check_that_failed(asked: Server, tmp_path: Path) -> None:
    for words in (["--from", "yesterday"], ["--period", "2026-13"], ["--from", "2026-11-02", "--to", "2026-11-01"]):
        done = asked.shoal("meter", "report", *words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    env = {**os.environ, "SHOAL_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "shoal", "meter", "audit"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no ledger" in done.stderr


def test_carbon_by_another_zone_is_told_everywhere(asked: Server, tmp_path: Path) -> None:
    status, body, _ = asked.send("GET", "/v1/meter?grid_zone=FRA", None, ADMIN)
    told = json.loads(body)["carbon"]
    printed = json.loads(asked.shoal("meter", "report", "--grid-zone", "FRA", "--json").stdout)["carbon"]
    assert (status, told) == (200, printed)
    assert (told["grids"], told["marginal"]) == (["FRA 2025"], None)
    text = asked.shoal("meter", "report", "--grid-zone", "FRA").stdout
    whole, same, alone = (told[f"{part}co2_g"] * 1e6 for part in ("", "compared_", "counterfactual_"))
    assert same <= whole
    assert (
        f"By the carbon of FRA 2025: {grams(whole)} spent in all; on the {told['compared_requests']:,} requests that "
        f"are compared {grams(same, alone)}, by the fallback alone {grams(alone)} (same-token guess)"
    ) in " ".join(text.split())
    moments = [datetime.now(UTC) - timedelta(hours=ago) for ago in range(3)]
    hours = tmp_path / "hours.csv"
    lines = (f"WOR,{moment:%Y-%m-%dT%H:00},400,900\n" for moment in moments)
    hours.write_text(f"zone,hour,g_per_kwh,marginal_g_per_kwh\n{''.join(lines)}")
    text = " ".join(asked.shoal("meter", "report", "--grid-hours", str(hours)).stdout.split())
    assert "By the carbon of WOR hourly " in text
    assert "; by its marginal figures, which only say what a change of load does: " in text


@pytest.mark.parametrize("command", ["report", "audit", "export", "overview"])
def test_a_registry_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    words = [sys.executable, "-m", "shoal", "meter", command]
    for more, beside, named in (
        (["--registry", str(tmp_path / "no.yaml")], {}, "--registry"),
        ([], {"SHOAL_REGISTRY": str(tmp_path / "no.yaml")}, "SHOAL_REGISTRY"),
    ):
        done = subprocess.run([*words, *more], env=env | beside, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{named}: there is no file {tmp_path / 'no.yaml'}. Remedy: " in done.stderr


def test_hours_of_the_registrys_zone_need_no_option(asked: Server, tmp_path: Path) -> None:
    hours = tmp_path / "hours.csv"
    hours.write_text("zone,hour,g_per_kwh\nWOR,2026-11-01T08:00,400\n")
    done = asked.shoal("meter", "report", "--json", "--grid-hours", str(hours))
    assert done.returncode == 0, done.stderr
    hours.write_text("zone,hour,g_per_kwh\nDEU,2026-11-01T08:00,400\n")
    registry = write_registry(tmp_path)
    registry.write_text(asked.registry.read_text() + "grid_zone: DEU\n")
    found = asked.shoal("meter", "report", "--json", "--grid-hours", str(hours), "--registry", str(registry))
    assert found.returncode == 0, found.stderr
