"""How long the judge takes, alone: `python -m eval.bench.judge` writes eval/results/judge_speed.json.

Requests are made up: unit vectors around the centres of their domains, as long as the encoder's. Time does not depend
on what they mean. Wall-clock time counts what else the machine does, a thread's own CPU time does not. numpy's library
has one thread, as under `shoal`, unless told otherwise: of two, one would wait for the other, and that is CPU time too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from eval.bench.spread import Spread
from eval.provenance import ROOT, origin
from experts.destination import require_file, write_there
from experts.errors import ShoalError
from experts.pool import Pool
from experts.spec import Registry
from router.calibrate import Floats
from router.decide import decide
from router.judge import Judge
from router.ladder import Ladder
from router.learn.evidence import Outcomes
from router.learn.surface import NAMES
from router.request import ChatRequest, Needs
from router.rule import Rule

RESULT: Final = ROOT / "eval/results/judge_speed.json"

DIMENSIONS: Final = 384
ASKED: Final = 3000
"""Requests judged one by one, all different, so that none is remembered."""


def requests(rng: np.random.Generator, count: int, domains: int) -> tuple[Floats, list[str]]:
    """Unit vectors (count, d) about as far from their domain's centre as real ones, and the domains' labels."""
    centres = np.random.default_rng(0).normal(size=(domains, DIMENSIONS))
    index = rng.integers(0, domains, count)
    vectors = centres[index] + rng.normal(0, 1.2, (count, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"domain {at}" for at in index]


def fitted(experts: int, examples: int, outcomes: int, outside: int = 0) -> tuple[Judge, float]:
    """A judge of so many experts and examples, and the seconds its fit took; each outcome is one expert's."""
    rng = np.random.default_rng(1)
    vectors, labels = requests(rng, examples, experts)
    labels[: experts * 5] = [f"domain {at % experts}" for at in range(experts * 5)]
    labels[len(labels) - outside :] = [""] * outside
    told = None
    if outcomes:
        features = rng.normal(size=(outcomes, len(NAMES))).astype(np.float32)
        scores = np.full((outcomes, experts), np.nan, np.float32)
        scores[np.arange(outcomes), rng.integers(0, experts, outcomes)] = rng.random(outcomes) < 0.7
        told = Outcomes(
            tuple(f"expert-{at}" for at in range(experts)), requests(rng, outcomes, experts)[0], features, scores
        )
    judge = Judge({f"expert-{at}": f"domain {at}" for at in range(experts)})
    begun = time.perf_counter()
    judge.fit([str(at) for at in range(examples)], vectors, labels, told)
    return judge, time.perf_counter() - begun


def asked(judge: Judge, experts: int) -> dict[str, Any]:
    """Microseconds of a judgement, by the wall and of the thread's own CPU."""
    rng = np.random.default_rng(2)
    vectors, features = requests(rng, ASKED, experts)[0], rng.normal(size=(ASKED, len(NAMES))).astype(np.float32)
    wall, cpu = [], []
    for vector, each in zip(vectors, features, strict=True):
        before, own = time.perf_counter_ns(), time.thread_time_ns()
        judge.judge(vector, each)
        cpu.append((time.thread_time_ns() - own) / 1000)
        wall.append((time.perf_counter_ns() - before) / 1000)
    return {"wall_us": Spread.of(wall).to_json(), "cpu_us": Spread.of(cpu).to_json()}


def decided(judge: Judge, experts: int) -> dict[str, Any]:
    """Microseconds of a decision, the judgement in it: under a policy, over experts whose pool is asked who is down."""
    registry = _registry(experts)
    pool = Pool(registry, weights_dir=ROOT, registry_dir=ROOT, embed=_nothing, count_tokens=len)
    ladder, needs = Ladder.of(registry), Needs.of(ChatRequest("", {"model": "auto", "messages": []}))
    rule = Rule.of("balanced", registry.policies["balanced"])
    rng = np.random.default_rng(3)
    vectors, features = requests(rng, ASKED, experts)[0], rng.normal(size=(ASKED, len(NAMES))).astype(np.float32)
    cpu = []
    for vector, each in zip(vectors, features, strict=True):
        own = time.thread_time_ns()
        decide(judge.judge(vector, each), ladder, rule, needs, pool.all_down().get)
        cpu.append((time.thread_time_ns() - own) / 1000)
    return {"cpu_us": Spread.of(cpu).to_json()}


def _registry(experts: int) -> Registry:
    """So many remote experts of one kind, of which the last is the fallback."""
    shared = {"kind": "openai", "url": "http://127.0.0.1:1/v1", "model": "m", "description": "d", "context": 4096}
    specs = [{**shared, "id": f"expert-{at}", "params_b": 1 + at} for at in range(experts)]
    said = {
        "version": 1,
        "encoder": {"path": "/x", "sha256": "0" * 64},
        "fallback": specs[-1]["id"],
        "policies": {"balanced": {"threshold": 0.8}},
        "power": {"dynamic_w_per_core": 2, "source": "for the arithmetic", "as_of": "2026-01-01"},
        "experts": specs,
    }
    return Registry.model_validate(said)


def _nothing(texts: Sequence[str]) -> Floats:
    return np.empty((len(texts), DIMENSIONS), np.float32)


def fits(make: Callable[[], tuple[Judge, float]], rounds: int) -> tuple[Judge, dict[str, Any]]:
    """The last of several fits, and the seconds they took by the wall and in CPU of all threads."""
    wall, cpu = [], []
    for _ in range(rounds):
        own = time.process_time()
        judge, seconds = make()
        cpu.append(time.process_time() - own)
        wall.append(seconds)
    return judge, {"wall_s": Spread.of(wall).to_json(), "cpu_s": Spread.of(cpu).to_json()}


CASES: Final[dict[str, tuple[tuple[int, int, int, int], int]]] = {
    "3 experts, 1,900 examples": ((3, 1900, 0, 0), 5),
    "3 experts, 1,900 examples, 285 of them nobody's": ((3, 1900, 0, 285), 5),
    "10 experts, 2,000 examples": ((10, 2000, 0, 0), 5),
    "10 experts, 2,000 examples, 20,000 outcomes": ((10, 2000, 20_000, 0), 2),
    "200 experts, 4,000 examples, 20,000 outcomes": ((200, 4000, 20_000, 0), 1),
    "10 experts, 2,000 examples, 100,000 outcomes": ((10, 2000, 100_000, 0), 1),
}
"""Experts, examples, outcomes, and examples that are nobody's; how often each is fitted."""


def measured() -> dict[str, Any]:
    """Every case."""
    cases = {}
    for name, (size, rounds) in CASES.items():
        judge, fit = fits(partial(fitted, *size), rounds)
        cases[name] = {"fit": fit, "judgement": asked(judge, size[0]), "decision": decided(judge, size[0])}
        print(
            f"{name}: fit {fit['wall_s']['median']:.2f} s, judgement "
            f"{cases[name]['judgement']['cpu_us']['median']:.0f} us CPU, "
            f"{cases[name]['judgement']['wall_us']['p99']:.0f} us wall at p99, with the decision "
            f"{cases[name]['decision']['cpu_us']['median']:.0f} us CPU",
            flush=True,
        )
    return {**origin(), "judgements": ASKED, "cases": cases}


def main() -> None:
    """Measure, print a line a case, and write the result."""
    parser = argparse.ArgumentParser(description="Measure how long a judgement and a fit of the judge take.")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    try:
        require_file("--out", options.out)
    except ShoalError as error:
        parser.error(str(error))
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # Looked at once, when numpy is loaded.
        again = [sys.executable, "-m", "eval.bench.judge", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"OPENBLAS_NUM_THREADS": "1"})  # noqa: S606
    write_there("--out", options.out, [json.dumps(measured(), indent=1).encode(), b"\n"])


if __name__ == "__main__":
    main()
