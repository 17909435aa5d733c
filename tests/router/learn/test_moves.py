"""Which requests another judge sends elsewhere, worked out beside the judge that serves."""

from __future__ import annotations

import numpy as np

from experts.policy import Policy
from router.judge import Judge
from router.judgement import NOTHING_KNOWN
from router.learn.fit import Fitted
from router.learn.harvest import Traffic
from router.learn.moves import moves
from router.learn.surface import NAMES
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from tests.router.promises.test_evidence import THREE, judge_of

REGISTRY = THREE.model_copy(update={"policies": {"balanced": Policy(threshold=0.5)}})


def test_what_serves_is_asked_in_another_thread_and_its_memory_left_to_the_loop() -> None:
    """Two threads that give up the oldest of what it remembers would fail a request that is served meanwhile."""
    serving, nobody = judge_of(), Judge({"small": "small"}).fit([], np.empty((0, 24), np.float32), [])
    vectors, _ = serving.known()
    features = np.zeros((len(vectors), len(NAMES)), np.float32)
    asked = Traffic(vectors, features, ("balanced",) * len(vectors))
    promises = Promises.make(REGISTRY, Fitted(serving, "data"), "encoder", Tariffs.of_registry(REGISTRY), None)
    moved = moves(REGISTRY, (serving, nobody), (promises, promises), asked)
    assert {other for _, other in moved} == {"big"}
    assert not serving._remembered
    assert nobody.judge_anew(vectors[0], features[0]) == NOTHING_KNOWN
    anew, remembered = serving.judge_anew(vectors[0], features[0]), serving.judge(vectors[0], features[0])
    assert (anew.label, anew.known) == (remembered.label, remembered.known)
    assert dict(anew.probability) == dict(remembered.probability)
