"""A gap in how an upstream's answer is read is that expert's failure, and told as the bug that it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from experts import openai_http
from experts.errors import ExpertFailed
from experts.http.chunks import ChunkStream
from tests.experts.lab import call, events, open_lab

WORDS = "what the upstream said"


def gap(*_: Any) -> Any:
    raise KeyError(WORDS)


Places = list[tuple[object, str]]

GAPS: dict[str, tuple[Places, int]] = {
    "status": ([(openai_http, "from_status")], 500),
    "whole": ([(openai_http, "_completion"), (ChunkStream, "feed")], 200),
    "end": ([(openai_http, "_completion"), (ChunkStream, "close")], 200),
}
"""What has a gap, and the status of the answers that show it; any upstream will do."""


@pytest.mark.parametrize("name", GAPS)
async def test_a_gap_in_the_reading_is_the_experts_failure(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places, status = GAPS[name]
    for place in places:
        monkeypatch.setattr(*place, gap)
    asked: list[Callable[..., Any]] = [lambda expert: expert.complete(call()), events]
    async with open_lab() as lab:
        for ask in asked:
            caplog.clear()
            expert = lab.says(b"{}", status) if status != 200 else lab.expert("ok")
            with caplog.at_level(logging.ERROR), pytest.raises(ExpertFailed) as failed:
                await ask(expert)
            assert failed.value.expert == "small" and isinstance(failed.value.__cause__, KeyError)
            assert "bug: what the upstream of expert small sent could not be read: KeyError\n" in caplog.text
            assert f'File "{__file__}"' in caplog.text
            assert WORDS not in caplog.text + str(failed.value)
