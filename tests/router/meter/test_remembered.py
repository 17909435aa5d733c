from __future__ import annotations

from pathlib import Path

import pytest

from experts.spec import Power
from router.meter.counters.device import idle_power
from router.meter.counters.division import IdlePower
from router.meter.counters.remembered import IDLE_POWER, Remembered


def learnt(watts: float, seconds: int = 30) -> IdlePower:
    """Of a card that was left alone."""
    power = idle_power("gpu:0")
    for _ in range(10 * seconds):
        power.see(round(watts * 100_000), 100_000_000, quiet=True)
    return power


def test_what_a_card_takes_for_nothing_is_known_at_the_next_start(tmp_path: Path) -> None:
    Remembered(tmp_path / IDLE_POWER).keep({"gpu:0": learnt(61)})
    power = idle_power("gpu:0", None, Remembered(tmp_path / IDLE_POWER).watts("gpu:0"))
    assert power.known
    assert power.of(22_000_000, 100_000_000) == 6_100_000


def test_what_is_kept_is_followed_when_the_card_takes_more_or_less(tmp_path: Path) -> None:
    for kept, now in ((61.0, 110.0), (110.0, 61.0)):
        power = idle_power("gpu:0", None, kept)
        for _ in range(300):
            power.see(round(now * 100_000), 100_000_000, quiet=True)
        assert power.watts == pytest.approx(now)


def test_neither_processors_nor_what_is_declared_nor_what_was_only_seen_at_work_is_kept(tmp_path: Path) -> None:
    at_work = idle_power("gpu:2")
    for _ in range(300):
        at_work.see(22_000_000, 100_000_000)
    processor = idle_power("cpu", None, 5.0)
    processor.see(3_000_000, 1_000_000_000, quiet=True)
    assert processor.watts == 3.0
    assert not at_work.known
    Remembered(tmp_path / IDLE_POWER).keep({"cpu": processor, "gpu:1": idle_power("gpu:1", 40.0), "gpu:2": at_work})
    assert not (tmp_path / IDLE_POWER).exists()


def test_the_file_is_written_when_something_changed_and_holds_the_others_too(tmp_path: Path) -> None:
    path = tmp_path / IDLE_POWER
    Remembered(path).keep({"gpu:0": learnt(60), "gpu:1": learnt(30)})
    before = path.read_bytes()
    kept = Remembered(path)
    kept.keep({"gpu:0": learnt(60.5)})
    assert path.read_bytes() == before
    kept.keep({"gpu:0": learnt(90)})
    assert Remembered(path).watts("gpu:0") == pytest.approx(90)
    assert Remembered(path).watts("gpu:1") == pytest.approx(30)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"gpu:0": "60"}', b'{"gpu:0": -1}', b'{"gpu:0": 1e9}'])
def test_a_damaged_file_is_said_and_begun_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / IDLE_POWER
    path.write_bytes(content)
    kept = Remembered(path)
    assert kept.watts("gpu:0") is None
    assert "are measured once they were left alone" in caplog.text
    kept.keep({"gpu:0": learnt(60)})
    assert Remembered(path).watts("gpu:0") == pytest.approx(60)


def test_the_registry_says_it_of_every_device_or_of_each() -> None:
    said = {"dynamic_w_per_core": 2, "source": "a meter", "as_of": "2026-11-01"}
    every, each = Power(**said, idle_w=8), Power(**said, idle_w={"cpu": 20, "gpu:0": 60})
    assert [every.idle_of(device) for device in ("cpu", "gpu:0", "gpu:1")] == [8, 8, 8]
    assert [each.idle_of(device) for device in ("cpu", "gpu:0", "gpu:1")] == [20, 60, None]
    for wrong in ({"card": 60}, {"gpu:0": -1}, -1):
        with pytest.raises(ValueError, match="idle_w"):
            Power(**said, idle_w=wrong)


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    Remembered(tmp_path / "file" / IDLE_POWER).keep({"gpu:0": learnt(60)})
    assert "cannot be kept" in caplog.text
