"""The way of a request: prompt -> encode -> judge -> decide -> an expert answers -> meter.

Everything happens against one snapshot of the registry, so no request ever sees a mix of two.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from experts.protocol import CountsTokens
from experts.spec import ENCODER_MODEL, READS_VECTOR
from experts.wire import Call, Event, Events, TokenSource, Vector, text_of
from router.decide import Decision, UnknownModel, decide, last_resort, named, obstacle, policy_of, resolve
from router.experiment import Experiment
from router.judgement import NO_TEXT, Judgement
from router.keys.errors import ModelNotAllowed
from router.learn.trace import trace
from router.live import Live
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.receipt import Receipt
from router.meter.record import Role, Trace
from router.prompt import request_text, request_texts
from router.request import ChatRequest, Needs
from router.rule import Rule
from router.snapshot import Snapshot


class OnlyEmbeds(UnknownModel):
    """The client named the encoder where an answer is asked for."""


class Choice(Struct, frozen=True):
    """Who shall answer a request, and everything that went into it."""

    snapshot: Snapshot
    decision: Decision
    needs: Needs
    """What the request asks of whoever answers it."""
    steps: tuple[Step, ...]
    vector: Vector | None = None
    features: Vector | None = None
    """The surface numbers of the request text."""
    judgement: Judgement | None = None
    rule: Rule | None = None
    encode_us: int = 0
    text: str = ""
    """What was embedded; empty for a request that was not routed."""


class Reply(Struct, frozen=True):
    """A whole answer and how it came about."""

    body: dict[str, Any]
    receipt: Receipt


class Opening(Struct, frozen=True):
    """The first thing a stream says: somebody answers."""

    account: Account
    expert: str
    events: Events
    """Up to its first word; may be none, where it has none."""


class Closing(Struct, frozen=True):
    """The last thing a stream says: its closing events, and the receipt that is already in the ledger."""

    events: Events
    receipt: Receipt


class Counted(Struct, frozen=True):
    """Tokens of a prompt, for whom, and how they were counted."""

    tokens: int
    expert: str
    source: TokenSource


class Pipeline:
    """Answers requests."""

    def __init__(
        self, live: Live, books: Books, experiment: Experiment, on_choice: Callable[[Choice], None] = lambda _: None
    ) -> None:
        """`on_choice` is told of every request that is going to be answered."""
        self._live = live
        self._books = books
        self._experiment = experiment
        self._on_choice = on_choice

    async def complete(self, request: ChatRequest, answered: Callable[[], None] = lambda: None) -> Reply:
        """The whole answer. Raises what `choose` raises, `ExpertError` or `MeterUnavailable`.

        `answered` is called when all of it is there: from then on its entry says ok, whoever cancels the wait for it.
        """
        snapshot = self._live.seen_by(request.key_id)
        with snapshot.pool.hold():
            async with await self._open(snapshot, request) as account:
                for attempt in account.attempts():
                    with attempt:
                        async with snapshot.pool.lease(attempt.step.expert) as expert:
                            attempt.asked()
                            completion = await expert.complete(account.call)
                        attempt.completed(completion)
                answered()
                receipt, written = self._close(snapshot, request, account, completion.text)
                await written
                return Reply(completion.body, receipt)

    async def stream(
        self, request: ChatRequest, answered: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[Opening | Events | Closing, None]:
        """An opening, then the answer's events as they come, then the closing. Raises as `complete` does.

        An expert that fails before its first word is replaced; one that fails later cannot be, and its error says so.
        """
        snapshot = self._live.seen_by(request.key_id)
        heard: list[Event] = []
        said = ""
        with snapshot.pool.hold():
            async with await self._open(snapshot, request) as account:
                for attempt in account.attempts():
                    with attempt:
                        lease = snapshot.pool.lease(attempt.step.expert)
                        async with lease as expert, aclosing(expert.stream(account.call)) as answer:
                            attempt.asked()
                            async for events in answer:
                                if account.held_back:
                                    heard += events
                                if attempt.record.first_byte_us is None:
                                    silent, begun = attempt.opened(events)
                                    if begun:
                                        yield Opening(account, attempt.step.expert, [*silent, *attempt.heard(begun)])
                                elif passed := attempt.heard(events):
                                    yield passed
                        said = text_of(heard, attempt.step.expert)
                        attempt.finished()
                answered()
                receipt, written = self._close(snapshot, request, account, said)
                await written
                yield Closing(attempt.held, receipt)

    async def choose(self, request: ChatRequest) -> Choice:
        """Who would answer; nothing is generated and nothing recorded."""
        return await choose(self._live.seen_by(request.key_id), request)

    async def count(self, request: ChatRequest) -> Counted:
        """The tokens of a prompt for who would answer it; nothing is generated and nothing recorded."""
        snapshot = self._live.seen_by(request.key_id)
        with snapshot.pool.hold():
            expert_id = (await choose(snapshot, request)).decision.expert
            async with snapshot.pool.lease(expert_id) as expert:
                if isinstance(expert, CountsTokens):
                    counted = await expert.count(Call(request.body, request.request_id))
                    if counted is not None:
                        return Counted(counted, expert_id, "tokenizer")
            return Counted(request.estimated_tokens, expert_id, "estimate")

    async def _open(self, snapshot: Snapshot, request: ChatRequest) -> Account:
        """The account of a request, once it is chosen who answers, and drawn whether it is held back."""
        timing = self._books.start()
        try:
            choice = await choose(snapshot, request)
        except BaseException:
            self._books.abandon(timing)
            raise
        self._on_choice(choice)
        if choice.text:
            snapshot.promises.saw(choice.decision.policy, choice.vector)
        decision, steps = choice.decision, choice.steps
        draw = self._experiment.draw(snapshot, decision, request)
        if draw is not None and draw.held:
            fallback = snapshot.registry.fallback
            steps = (Step(fallback, Role.FALLBACK), steps[0])
            told = f"{decision.reason}; {fallback} answers, held back for the savings figure"
            decision = replace(decision, reason=told)
        return Account(
            self._books,
            snapshot.tariffs,
            request,
            decision,
            steps,
            snapshot.version,
            choice.vector,
            timing,
            _kept(choice),
            draw,
            choice.encode_us,
        )

    def _close(
        self, snapshot: Snapshot, request: ChatRequest, account: Account, said: str
    ) -> tuple[Receipt, Awaitable[None]]:
        """The receipt, and the wait for it to be durable."""
        receipt, written = account.close()
        if receipt.held_back:
            # Before the wait: whoever leaves in it was answered all the same, and no pair is lost to impatience.
            self._experiment.run_beside(snapshot, account, request, said)
        return receipt, written


async def choose(snapshot: Snapshot, request: ChatRequest) -> Choice:
    """Who answers `request`. Raises `UnknownModel`, `ModelNotAllowed` or `NobodyCan`."""
    if request.model in snapshot.hidden:
        raise ModelNotAllowed(request.model)
    registry, needs = snapshot.registry, Needs.of(request)
    model = resolve(request.model, registry.aliases)
    policy = policy_of(model, registry)
    if policy is not None:
        return await _routed(snapshot, request, policy, needs)
    spec = registry.find(registry.fallback if model == "fallback" else model)
    if spec is None:
        raise OnlyEmbeds(request.model) if model == ENCODER_MODEL else UnknownModel(request.model)
    decision = named(spec, needs, registry, "named by the request")
    vector = await snapshot.encoder.vector(request_text(request.messages)) if spec.kind in READS_VECTOR else None
    return Choice(snapshot, decision, needs, (Step(spec.id, Role.NAMED),), vector)


async def _routed(snapshot: Snapshot, request: ChatRequest, policy: str, needs: Needs) -> Choice:
    """Who answers under a policy, and who after it where it fails: the fallback, and then whoever else can."""
    texts, encode_us = request_texts(request.messages), 0
    for text in texts:
        started = time.monotonic_ns()
        vector = await snapshot.encoder.vector(text)
        encode_us += (time.monotonic_ns() - started) // 1000
        features = snapshot.encoder.surface(text)
        judgement = snapshot.judge.judge(vector, features) if text else NO_TEXT
        if len(texts) == 1 or judgement.speaks_for_itself:
            break
    rule = snapshot.rule(policy)
    decision = decide(judgement, snapshot.ladder, rule, needs, snapshot.all_down().get)
    if not snapshot.tells(decision.label):
        decision = replace(decision, label_told=False)
    fallback = snapshot.ladder.specs[snapshot.registry.fallback]
    steps = [Step(decision.expert, Role.FALLBACK if decision.escalated_from else Role.ROUTED)]
    if decision.expert != fallback.id and obstacle(fallback, needs) is None:
        steps.append(Step(fallback.id, Role.FALLBACK))
    if (spare := last_resort(decision, snapshot.ladder)) is not None:
        steps.append(Step(spare, Role.FALLBACK))
    return Choice(snapshot, decision, needs, tuple(steps), vector, features, judgement, rule, encode_us, text)


def _kept(choice: Choice) -> Trace | None:
    """What the registry lets the ledger keep of a request to learn from."""
    snapshot, learning = choice.snapshot, choice.snapshot.registry.learning
    if not learning.keep_vectors or not choice.text or choice.vector is None or choice.features is None:
        return None
    text = choice.text if learning.keep_text else None
    return trace(snapshot.encoder.encoder.fingerprint, choice.vector, choice.features, text)
