"""What the log says of an expert that is down: that it is, not every request that could not reach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.service.server import Server, write_registry

COOKFAIL = {"model": "cook", "messages": [{"role": "user", "content": "COOKFAIL"}]}


def test_an_expert_that_is_down_is_told_once_not_with_every_request(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path))
    assert {server.post("/v1/chat/completions", COOKFAIL)[0] for _ in range(40)} == {503}
    told = [line for line in server.log().splitlines() if "cook: " in line and "WARNING" in line]
    assert len([line for line in told if "shoal.experts: request " in line]) == 5
    (opened,) = [line for line in told if "expert cook: " in line]
    assert "not asked" in opened
    assert server.report()["by_status"] == {"error": 40}
