from __future__ import annotations

import numpy as np
import pytest

from experts.policy import Policy
from router.learn.fit import Fitted
from router.meter.tariff import Tariffs
from router.promises.budget import LEAST
from router.promises.promises import Promises
from tests.router.promises.test_evidence import THREE, judge_of, outcomes_of


@pytest.mark.parametrize(("paired", "source"), [(4, "examples"), (LEAST - 1, "examples"), (LEAST, "outcomes")])
def test_a_few_outcomes_overturn_no_budget(paired: int, source: str) -> None:
    registry = THREE.model_copy(update={"policies": {"thrifty": Policy(max_fallback_share=0.9)}})
    told = outcomes_of(400)
    rows = np.flatnonzero(~np.isnan(told.scores[:, 1]))[:paired]
    judge = judge_of(told.take(rows))
    found = Promises.make(registry, Fitted(judge, "data"), "encoder", Tariffs.of_registry(registry), None).to_json()[0]
    assert found["source"] == source
    assert found["n"] >= (LEAST if source == "outcomes" else 80)
    assert found["low"] <= found["expected"] <= found["high"]
