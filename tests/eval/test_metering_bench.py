from __future__ import annotations

import pytest

from eval.bench.metering import measured


async def test_every_case_is_metered_in_a_real_ledger_and_timed() -> None:
    found = await measured(requests=200, rounds=2)
    assert list(found["figures"]) == [
        "loop_work_us", "loop_told_us", "loop_metering_us", "loop_durable_us", "loop_busy_us", "writer_busy_us",
        "loop_alone_us", "writer_alone_us",
    ]  # fmt: skip
    for name, spread in found["spread"].items():
        assert spread["n"] == 2, name
        assert spread["min"] <= found["figures"][name] + 0.05, name
    assert found["spread"]["writer_busy_us"]["min"] > 0
    for parts in (("work", "told", "metering"), ("metering", "durable", "busy")):
        first, second, both = (found["spread"][f"loop_{part}_us"] for part in parts)
        rounds = [each["min"] + each["max"] for each in (first, second, both)]  # there are two
        assert rounds[0] + rounds[1] == pytest.approx(rounds[2], abs=0.01)
    assert found["detail"]["ledger"]["fsync_us"] > 0
    assert found["detail"]["yardstick"].keys() == {"clock_ns", "turn_ns"}
    assert min(found["detail"]["yardstick"].values()) > 0
    assert {"commit", "dirty", "date", "machine"} <= found.keys()
