"""The figures of `shoal eval answers`: real experts asked, their answers marked, every policy replayed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from eval.answers.asking import Desk, Said
from eval.answers.marking import RUBRIC, mark
from eval.answers.missing import REMEDY, Missing, gone
from eval.answers.questions import Question
from eval.answers.ways import COSTS, Answers, Doubles, baselines, gained, in_turn, known, shown
from eval.samples import SamplesError
from eval.scorers.reasoning import spoken
from eval.scorers.rubric import asking, mark_of
from experts.alike import Bools
from experts.errors import ShoalError
from experts.progress import Stage
from experts.spec import AnySpec
from router.decide import NobodyCan
from router.meter.money import exact_usd
from router.meter.record import Attempt, Role, Status
from router.pipeline import choose
from router.prompt import request_text
from router.request import ChatRequest
from router.snapshot import Snapshot

DEFAULT: Final = Path(__file__).resolve().parents[1] / "data" / "answers.jsonl"

MARK_TOKENS: Final = 8
"""Room for a mark."""


class NothingScored(ShoalError):
    """No question has a score of every expert, so nothing can be compared; the message holds the remedy."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Every question asked of every expert, and marked."""

    questions: Sequence[Question]
    answers: Answers
    said: list[list[Said]]
    given_up: Mapping[str, str]
    """Experts that could not be asked to the end, and why."""

    @property
    def whole(self) -> Bools:
        """(n,), the questions with a score of every expert: only there can ways to choose be compared."""
        return np.logical_not(np.isnan(self.answers.scores).any(axis=1))

    def missing(self) -> Missing:
        """What could not be had."""
        lacking = np.isnan(self.answers.scores)
        unanswered = np.array([[each.passing for each in row] for row in self.said])
        counts = [
            dict(zip(self.answers.experts, cells.sum(axis=0).tolist(), strict=True))
            for cells in (lacking & unanswered, lacking & ~unanswered)
        ]
        told = [{name: count for name, count in each.items() if count} for each in counts]
        return Missing(int((~self.whole).sum()), *told)

    def failed(self) -> dict[str, int]:
        """How often each expert broke off or refused, which clients get as an error: a score of 0."""
        errors = np.array([[bool(each.error) and not each.passing for each in row] for row in self.said])
        counts = zip(self.answers.experts, errors.sum(axis=0).tolist(), strict=True)
        return {name: count for name, count in counts if count}

    def comparable(self) -> Examined:
        """The questions that are whole. Raises `NothingScored` when none is."""
        if not self.whole.any():
            told = "; ".join([*self.missing().lines(), *gone(self.given_up)])
            raise NothingScored(f"no question has a score of every expert: {told}. Remedy: {REMEDY}")
        kept = np.flatnonzero(self.whole)
        rows = kept.tolist()
        said = [self.said[at] for at in rows]
        return Examined([self.questions[at] for at in rows], self.answers.of(kept), said, self.given_up)


async def examine(desk: Desk, questions: Sequence[Question], judge: AnySpec | None, progress: Stage) -> Examined:
    """Ask and mark. `judge` marks by rubric. Raises `SamplesError` when a row needs one and there is none."""
    if judge is None and any(question.scorer == RUBRIC for question in questions):
        raise SamplesError("a row is marked by rubric, which needs a model. Remedy: --judge ID of an expert")
    specs = [desk.snapshot.registry.expert(name) for name in desk.snapshot.ladder.experts]
    await desk.snapshot.pool.warm([spec.id for spec in specs])
    said: list[list[Said]] = []
    scores = np.full((len(questions), len(specs)), math.nan)
    for row, question in enumerate(questions):
        progress("asking", row, len(questions))
        said.append([await desk.ask(spec, question.messages, question.max_tokens) for spec in specs])
        for at, each in enumerate(said[-1]):
            if not each.passing:
                scores[row, at] = 0.0 if each.error else await _marked(desk, question, each.text, judge)
    progress("asking", len(questions), len(questions))
    charged = [[_charged(desk.snapshot, spec, each) for spec, each in zip(specs, row, strict=True)] for row in said]
    answers = Answers(
        tuple(spec.id for spec in specs),
        scores,
        np.array([[bool(each.error) for each in row] for row in said]),
        {name: np.array([[cell[name] for cell in row] for row in charged]) for name in COSTS},
        np.array([question.task for question in questions], np.str_),
    )
    return Examined(questions, answers, said, desk.given_up)


async def replay(snapshot: Snapshot, examined: Examined) -> dict[str, Any]:
    """Every policy and every baseline over what was said; the choices are made as in serving.

    Raises `NothingScored`.
    """
    missing, examined = examined.missing(), examined.comparable()
    registry, answers = snapshot.registry, examined.answers
    column = {name: at for at, name in enumerate(answers.experts)}
    router = await _router_costs(snapshot, examined.questions)
    ways, answered = {}, {}
    for policy in registry.policies:
        steps = [
            [column[name] for name in await _steps(snapshot, question, f"auto:{policy}")]
            for question in examined.questions
        ]
        ways[policy], answered[policy] = in_turn(answers, steps, router)
    own = registry.default_policy
    others = baselines(answers, column[registry.fallback], answered[own])
    return {
        "scored": len(examined.questions),
        "missing": asdict(missing),
        "given_up": dict(examined.given_up),
        "failed": examined.failed(),
        "policies": {name: shown(way) for name, way in ways.items()},
        "refused": {name: state["why"] for name, state in snapshot.promises.states().items() if state["why"]},
        "baselines": {name: shown(way) for name, way in others.items()},
        "gain": {
            policy: {name: gained(way, others[name]) for name in ("always_fallback", "shuffled", "task_mean")}
            for policy, way in ways.items()
        },
        "by_task": {
            str(task): {
                "rows": int((answers.tasks == task).sum()),
                "quality": float(ways[own].scores[answers.tasks == task].mean()),
                "experts": dict(
                    zip(answers.experts, answers.scores[answers.tasks == task].mean(axis=0).tolist(), strict=True)
                ),
            }
            for task in np.unique(answers.tasks)
        },
        "default_policy": own,
    }


def outcome_lines(examined: Examined) -> Iterator[bytes]:
    """The answers as lines of an outcomes file of the contract, which the judge and `shoal eval outcomes` read.

    An answer without a score is no outcome, and a question without any no row.
    """
    answers = examined.answers
    for row, question in enumerate(examined.questions):
        outcomes = {
            name: {
                "score": float(answers.scores[row, at]),
                **{cost: known(answers.costs[cost][row, at]) for cost in COSTS},
            }
            for at, name in enumerate(answers.experts)
            if not math.isnan(answers.scores[row, at])
        }
        if outcomes:
            text = request_text(question.messages)
            yield orjson.dumps({"input": text, "task": question.task or None, "outcomes": outcomes}) + b"\n"


async def _marked(desk: Desk, question: Question, text: str, judge: AnySpec | None) -> float:
    """The score of an answer; nan where the model that marks gave none, which says nothing of the answer."""
    if question.scorer != RUBRIC or judge is None:
        return await asyncio.to_thread(mark, text, question)
    asked = asking(request_text(question.messages), spoken(text), str(question.target))
    said = await desk.ask(judge, asked, MARK_TOKENS, fails=False)
    found = None if said.error else mark_of(spoken(said.text))
    return math.nan if found is None else found


async def _steps(snapshot: Snapshot, question: Question, model: str) -> list[str]:
    """Who is asked, in order; the fallback where nobody can, whose refusal is then what the client gets."""
    body = {"model": model, "messages": question.messages, "max_tokens": question.max_tokens}
    try:
        choice = await choose(snapshot, ChatRequest("eval", body))
    except NobodyCan:
        return [snapshot.registry.fallback]
    return list(dict.fromkeys(step.expert for step in choice.steps))


async def _router_costs(snapshot: Snapshot, questions: Sequence[Question]) -> dict[str, Doubles]:
    """What encoding and judging took for each question (n,), by name; this process's CPU time, nothing else running.

    Money is what its electricity costs, as in the ledger: 0 where the registry gives no price.
    """
    cost_usd, energy_j, latency_s = [], [], []
    for question in questions:
        used_ns, started_ns = time.process_time_ns(), time.monotonic_ns()
        await _steps(snapshot, question, "auto")
        _, energy_uj, _ = snapshot.tariffs.router(time.process_time_ns() - used_ns, 0)
        cost_usd.append(exact_usd(snapshot.tariffs.electricity.cost_yusd(energy_uj)))
        energy_j.append(energy_uj / 1e6)
        latency_s.append((time.monotonic_ns() - started_ns) / 1e9)
    return {"cost_usd": np.array(cost_usd), "energy_j": np.array(energy_j), "latency_s": np.array(latency_s)}


def _charged(snapshot: Snapshot, spec: AnySpec, said: Said) -> dict[str, float]:
    """What an answer costs, by the meter's own tariff; money is not known (nan) of an expert without a price."""
    record = Attempt(spec.id, Role.NAMED, Status.OK)
    tariff = snapshot.tariffs.of(spec.id)
    tariff.charge(record, said.tokens, said.cpu_ns if tariff.has_process else None, 0)
    priced = record.price_version or tariff.in_router
    return {
        "cost_usd": record.cost_nusd / 1e9 if priced else math.nan,
        "energy_j": record.energy_uj / 1e6,
        "latency_s": said.latency_us / 1e6,
    }
