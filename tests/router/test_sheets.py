"""Workers' figures side by side: numbers that live, one heading a name, nothing of who is gone."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from experts.registry import load_registry
from router.seats import seat
from router.sheets import STALE_S, Sheets, fresh, metrics_of, side_by_side
from router.tally import Tally
from router.telemetry import Telemetry
from tests.service.server import write_registry


class Ledger:
    """What the metrics ask of the ledger."""

    interrupted = 4

    def owing(self) -> tuple[int, int]:
        return 0, 0


@pytest.fixture
def tally() -> Tally:
    return Tally(["/metrics"])


@pytest.fixture
def telemetry(tmp_path: Path, tally: Tally) -> Telemetry:
    registry = load_registry(write_registry(tmp_path)).registry
    return Telemetry(Ledger(), lambda: registry, dict, tally.counts)


def values(text: bytes | str, name: str) -> dict[str | None, float]:
    """A metric's samples by worker; every other label is the same in these tests."""
    families = text_string_to_metric_families(text if isinstance(text, str) else text.decode())
    return {s.labels.get("worker"): s.value for family in families for s in family.samples if s.name == name}


async def test_a_process_alone_has_no_number(telemetry: Telemetry) -> None:
    async with metrics_of(telemetry, None) as metrics:
        text = await metrics()
    assert values(text, "shoal_meter_pending") == {None: 0}
    assert b"worker" not in text


async def test_whoever_is_asked_tells_of_all(telemetry: Telemetry, tally: Tally, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with seat(folder) as one, seat(folder) as other:
        async with metrics_of(telemetry, one) as first:
            tally.count("/metrics", 200)
            async with metrics_of(telemetry, other) as second:
                assert values(await first(), "shoal_http_responses_total") == {"0": 1, "1": 1}
                assert values(await second(), "shoal_http_responses_total") == {"0": 1, "1": 1}
            assert values(await first(), "shoal_http_responses_total") == {"0": 1}
    assert not [*folder.glob("*.prom"), *folder.glob("*.new")]


async def test_every_name_has_one_heading(telemetry: Telemetry, tmp_path: Path) -> None:
    for number in range(3):
        await Sheets(tmp_path, number, telemetry).write()
    lines = side_by_side(fresh(tmp_path)).splitlines()
    heads = [line for line in lines if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads)) == len(telemetry.render().decode().split("# TYPE ")) - 1
    assert {f'worker="{n}"' for n in range(3)} == {line.partition("{")[2].partition("}")[0] for line in lines
                                                  if line.startswith("shoal_meter_pending")}  # fmt: skip
    current = ""
    for line in lines:
        if line.startswith("# TYPE "):
            current = line.split()[2]
        elif not line.startswith("#"):
            assert line.startswith(current.removesuffix("_total")), "a series stands under another's heading"


async def test_who_is_gone_is_told_no_more(telemetry: Telemetry, tmp_path: Path) -> None:
    for number in range(2):
        await Sheets(tmp_path, number, telemetry).write()
    long_ago = time.time() - STALE_S - 1
    os.utime(tmp_path / "0.prom", (long_ago, long_ago))
    assert values(await Sheets(tmp_path, 1, telemetry).text(), "shoal_meter_pending") == {"1": 0}


async def test_sheets_written_at_once_never_go_back(telemetry: Telemetry, tally: Tally, tmp_path: Path) -> None:
    sheets = Sheets(tmp_path, 0, telemetry)

    async def count_and_tell() -> float:
        tally.count("/metrics", 200)
        return values(await sheets.text(), "shoal_http_responses_total")["0"]

    told = await asyncio.gather(*[count_and_tell() for _ in range(20)])
    assert max(told) == 20
    assert values(await sheets.text(), "shoal_http_responses_total") == {"0": 20}
