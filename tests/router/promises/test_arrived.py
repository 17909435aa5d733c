"""A budget is an estimate of requests in one mix; what arrives in another is told beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experts.policy import Policy
from router.learn.fit import Fitted
from router.learn.harvest import Traffic
from router.learn.surface import NAMES
from router.meter.tariff import Tariffs
from router.promises.arrived import read_traffic, with_recent
from router.promises.budget import FEWEST
from router.promises.promises import Promises
from router.promises.usual import Answers, Sums
from tests.router.promises.test_evidence import THREE, judge_of

JUDGE = judge_of()
KNOWN = JUDGE.known()[0]
STRANGE = np.tile(np.eye(24, dtype=np.float32)[5:15], (40, 1))
SHARE = Policy(max_fallback_share=0.4)


def told(
    *parts: np.ndarray, policy: Policy = SHARE, under: str = "thrifty",
    answers: Answers | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The entry of a budget where these vectors arrived under a policy."""
    policies = {"thrifty": policy, "safe": Policy(max_risk=0.1), "balanced": Policy(threshold=0.8)}
    registry = THREE.model_copy(update={"policies": policies})
    tariffs, vectors = Tariffs.of_registry(registry), np.concatenate(parts)
    promises = Promises.make(registry, Fitted(JUDGE, "data"), "encoder", tariffs, None)
    promises.answers = answers
    traffic = Traffic(vectors, np.zeros((len(vectors), len(NAMES)), np.float32), (under,) * len(vectors))
    entries = with_recent(promises, JUDGE, registry, tariffs, traffic)
    assert "recent" not in entries[1], "a promise of risk is watched, not estimated"
    json.dumps(entries)
    return entries[0]


def test_the_mix_an_estimate_rests_on_is_told_by_who_answers() -> None:
    found = told(KNOWN)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["shares"]["big"] == found["fallback_share"]
    assert found["shares"].keys() == {"small", "medium", "big"}


def test_requests_in_the_same_mix_contradict_nothing() -> None:
    recent = told(KNOWN)["recent"]
    assert recent["requests"] == len(KNOWN)
    assert recent["low"] <= recent["expected"] <= recent["high"]
    assert recent["contradicts"] is None


@pytest.mark.parametrize("aim", ["max_fallback_share", "max_usd_per_kreq", "max_j_per_kreq"])
def test_another_mix_is_told_with_what_it_takes_and_who_answers_it(aim: str) -> None:
    found = told(KNOWN, STRANGE, policy=Policy.model_validate({aim: 0.4, "out_of_domain": 0}))
    recent = found["recent"]
    assert recent["low"] > found["high"]
    assert recent["shares"]["big"] > found["shares"]["big"] + 0.1
    if aim == "max_fallback_share":
        assert recent["expected"] == recent["shares"]["big"]
    assert recent["contradicts"].startswith("the newest 480 requests under it would ")
    assert (
        f": big answers {recent['shares']['big']:.0%} of them and not {found['shares']['big']:.0%}."
        in recent["contradicts"]
    )


def test_what_it_takes_goes_by_the_same_tokens_as_the_estimate() -> None:
    aim, answers = Policy(max_usd_per_kreq=1e9), Answers({"big": Sums(100, 100_000, 100_000, 0)})
    few, many = told(KNOWN, policy=aim)["recent"], told(KNOWN, policy=aim, answers=answers)["recent"]
    assert many["expected"] == pytest.approx(few["expected"] * 2_000 / 320)


def test_other_policies_and_too_few_requests_tell_nothing() -> None:
    assert told(STRANGE, under="balanced")["recent"] is None
    assert told(STRANGE[: FEWEST - 1])["recent"] is None
    assert told(STRANGE[:FEWEST])["recent"]["requests"] == FEWEST


def test_a_ledger_that_is_not_there_is_no_traffic_and_one_that_is_none_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.sqlite"
    assert read_traffic(path, "encoder").policies == ()
    assert not caplog.text
    path.write_text("no database at all, and long enough to be read as the header of one" * 20)
    assert read_traffic(path, "encoder").policies == ()
    assert "what budgets take of recent requests is not known: " in caplog.text
