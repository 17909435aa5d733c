from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import pytest

from eval.bench import judge as bench
from eval.bench.judge import ASKED, asked, decided, fits, fitted


def test_every_judgement_is_made_and_timed() -> None:
    judge, fit = fits(lambda: fitted(3, 90, 40, 20), 2)
    assert sorted(judge.classes_) == ["expert-0", "expert-1", "expert-2"]
    assert fit["wall_s"]["n"] == fit["cpu_s"]["n"] == 2
    vectors, labels = judge.known()
    assert (vectors.shape, (labels == "").sum()) == ((90, 384), 20)
    outcomes = judge.outcomes_
    assert outcomes is not None and len(outcomes) == 40
    found = asked(judge, 3)
    assert found["wall_us"]["n"] == found["cpu_us"]["n"] == ASKED
    assert len(judge._remembered) == 1024, "each is another request"
    assert decided(judge, 3)["cpu_us"]["n"] == ASKED


@pytest.mark.parametrize(("told", "then"), [(None, "1"), ("2", "2")])
def test_it_is_timed_with_one_thread_as_it_serves_unless_told_otherwise(
    told: str | None, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str | None] = []

    def again(path: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        assert [path, *words] == [sys.executable, sys.executable, "-m", "eval.bench.judge", "--out", "/dev/null"]
        threads.append(environment["OPENBLAS_NUM_THREADS"])
        raise SystemExit

    def measured() -> None:
        threads.append(os.environ.get("OPENBLAS_NUM_THREADS"))
        raise SystemExit

    monkeypatch.setattr(sys, "argv", ["judge.py", "--out", "/dev/null"])
    monkeypatch.setattr(os, "execve", again)
    monkeypatch.setattr(bench, "measured", measured)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", told or "")
    if told is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    with pytest.raises(SystemExit):
        bench.main()
    assert threads == [then]
