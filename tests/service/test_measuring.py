"""What a start says of the counters it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from router.meter.counters.sampler import find_readers
from tests.service.server import Server, write_registry


def test_a_device_without_a_counter_is_told_with_the_remedy(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text().replace("id: poet", "id: poet\n    device: gpu:77", 1))
    log = start(path).log()
    assert "expert poet: no counter of its device gpu:77 can be read here" in log
    assert "'.[nvidia]'" in log
    assert ("energy is measured: " in log) == bool(find_readers())
    assert ("energy is not measured: this machine shows no counter" in log) != bool(find_readers())
