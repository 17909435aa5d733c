"""The experiment that savings are measured by: a few conversations are held back, and their small path runs beside.

Which ones is drawn by router/meter/holdback.py, how many follows from what the ledger shows of the last window. Where
traffic is too thin to tell anything, nobody is held back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from experts.errors import ExpertError, ExpertRefused
from experts.protocol import Expert
from experts.spec import Registry
from experts.wire import Completion
from router.chore import chore
from router.decide import Decision, obstacle
from router.grading import grade, grading_bodies, same
from router.meter.account import Account
from router.meter.attempt import AttemptUnderWay, Books, Step
from router.meter.errors import BadHoldbackKey, MeterUnavailable
from router.meter.holdback import conversation, held_back
from router.meter.ledger import Ledger
from router.meter.planning import planned_share
from router.meter.ppm import PPM
from router.meter.record import Arm, Draw, Pair, Role, Shadow
from router.meter.rows import SHADOW_N
from router.request import ChatRequest, Needs
from router.snapshot import Snapshot

log = logging.getLogger("shoal.meter")

AT_ONCE: Final = 8
"""Small paths running beside at the same time; others wait for their turn."""

MOST_SHADOWS: Final = 256
"""Small paths running beside or waiting for it; while there are so many, nobody is drawn."""

EVERY_S: Final = 3600.0
"""How often the share held back follows the ledger."""

_KEY_BYTES: Final = 32


class Experiment:
    """Draws requests and runs the small path of those held back. `async with` keeps the share up to date."""

    def __init__(
        self, books: Books, key: bytes, seed_version: int, registry: Callable[[], Registry], now_us: Callable[[], int]
    ) -> None:
        """`seed_version` is the key's, `registry` the one that serves now, `now_us` is UTC in microseconds."""
        self._books = books
        self._key = key
        self._seed_version = seed_version
        self._registry = registry
        self._now_us = now_us
        self._planned = 0.0
        self._shadows: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._planning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Experiment:
        self._planning = asyncio.create_task(chore("the share held back stays", self.plan, EVERY_S))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._shadows, *([self._planning] if self._planning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def share(self) -> float:
        """The share of conversations that is held back now."""
        fixed = self._registry().savings.holdback
        return self._planned if fixed == "auto" else fixed

    def draw(self, snapshot: Snapshot, decision: Decision, request: ChatRequest) -> Draw | None:
        """Draw a routed request that a small expert was chosen for, or say why it cannot be drawn; None of others.

        While nobody can be drawn, those that the fallback was chosen for are told so too: without the small answers of
        the same time, which are in no estimate, they would be a sample of one side alone.
        """
        registry = snapshot.registry
        if decision.policy is None:
            return None
        if registry.fallback != snapshot.tariffs.fallback.expert:
            return Draw(Arm.RESTRICTED)
        small = not decision.escalated_from and decision.expert != registry.fallback
        if small and (
            snapshot.down(registry.fallback) or obstacle(registry.expert(registry.fallback), Needs.of(request))
        ):
            return Draw(Arm.UNABLE)
        share = self.share
        arm = Arm.OFF if not share else Arm.BUSY if len(self._shadows) >= MOST_SHADOWS else None
        if not small:
            return None if arm is None else Draw(arm)
        talk = conversation(self._key, request.key_id, request.messages, request.conversation)
        if arm is not None:  # which conversation it is of says how many there are to draw from another time
            return Draw(arm, None, talk, self._seed_version)
        rate_ppm = round(share * PPM)  # what is kept is what was drawn by, so that an audit can draw again
        arm = Arm.HOLDBACK if held_back(self._key, talk, rate_ppm / PPM) else Arm.NORMAL
        return Draw(arm, rate_ppm, talk, self._seed_version)

    def run_beside(self, snapshot: Snapshot, account: Account, request: ChatRequest, served: str) -> None:
        """Let the expert that was chosen answer too and compare; for the ledger alone, so this returns at once."""
        task = asyncio.create_task(self._run(snapshot, account, request, served))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def settled(self) -> None:
        """Return when no small path runs beside any more."""
        while self._shadows:
            await asyncio.wait(self._shadows)

    async def plan(self) -> float:
        """Set the share from what the ledger shows of the last window; returns it. Raises MeterUnavailable.

        Whatever the registry says of it now: `auto` holds from the moment it is written there.
        """
        self._planned = await asyncio.to_thread(_planned, self._books.ledger, self._registry().fallback, self._now_us())
        return self._planned

    async def _run(self, snapshot: Snapshot, account: Account, request: ChatRequest, served: str) -> None:
        noted, beside = Shadow(request.request_id, []), _Beside(self._books, snapshot, account, request)
        try:
            with snapshot.pool.hold():
                async with self._turns:
                    noted.pair = await beside.compared_with(served)
        finally:
            noted.attempts.extend(attempt.record for attempt in beside.attempts)
            for attempt in beside.attempts:
                attempt.handed_in()
            for record in noted.attempts:
                self._books.on_shadow(record)
            # Handed in before it first waits, so that a cancelled wait loses nothing.
            try:
                await self._books.ledger.note(noted)
            except MeterUnavailable as error:
                log.warning("request %s: what ran beside it waits for the ledger: %s", request.request_id, error)


class _Beside:
    """What runs beside one request that was held back, for the ledger alone."""

    def __init__(self, books: Books, snapshot: Snapshot, account: Account, request: ChatRequest) -> None:
        self._books, self._snapshot, self._account, self._request = books, snapshot, account, request
        self.attempts: list[AttemptUnderWay] = []
        """Of the small expert, then of the grader."""

    async def compared_with(self, served: str) -> Pair | None:
        """The small answer beside the one that was served; None where there are no two."""
        call = self._account.call.body.items()
        body = {name: value for name, value in call if name not in ("stream", "stream_options")}
        small = await self._ask(Step(self._account.decision.expert, Role.SHADOW), body)
        if not (small and served):
            return None
        grades = [await self._grade(text) for text in (small, served)]
        return Pair(same(small, served), *grades)

    async def _ask(self, step: Step, *bodies: dict[str, Any]) -> str:
        """What an expert answers to the first body that it does not refuse, empty when it fails or says no words."""
        tariff, carbon, said = self._snapshot.tariffs.of(step.expert), self._account.ci_mg_per_kwh, ""
        n = SHADOW_N + len(self.attempts)
        attempt = AttemptUnderWay(self._books, self._request, step, tariff, last=False, ci_mg_per_kwh=carbon, n=n)
        self.attempts.append(attempt)
        with suppress(ExpertError), attempt:
            async with self._snapshot.pool.lease(step.expert) as expert:
                completion = await self._complete(expert, bodies)
            attempt.completed(completion)
            said = completion.text
        return said

    async def _complete(self, expert: Expert, bodies: Sequence[dict[str, Any]]) -> Completion:
        for body in bodies[:-1]:
            with suppress(ExpertRefused):  # which costs nothing
                return await expert.complete(replace(self._account.call, body=body))
        return await expert.complete(replace(self._account.call, body=bodies[-1]))

    async def _grade(self, answer: str) -> int | None:
        """The grade of an answer in millionths; None where no grader is set, or it gives none."""
        grader = self._snapshot.registry.savings.grader
        if grader is None:
            return None
        context = self._snapshot.registry.expert(grader).context
        bodies = ({"model": grader, **body} for body in grading_bodies(self._request.messages, answer, context))
        found = grade(await self._ask(Step(grader, Role.GRADER), *bodies))
        return None if found is None else round(found * PPM)


def _planned(ledger: Ledger, fallback: str, now_us: int) -> float:
    with closing(ledger.read()) as connection:
        return planned_share(connection, fallback, now_us)


def secret_key(path: Path) -> bytes:
    """The key that draws are made with; made at the first start, readable by its owner only.

    Raises OSError, or BadHoldbackKey for a file of another length: whoever knows the key knows who is held back.
    """
    if not path.exists():
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            with suppress(FileExistsError):  # another worker was first, and both read the same
                os.link(draft, path)
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        remedy = (
            f"put the file of a backup there, or remove it: the next start makes another, with other draws: rm {path}"
        )
        raise BadHoldbackKey(f"{path}: is {len(key)} bytes long, not {_KEY_BYTES}. Remedy: {remedy}")
    return key
