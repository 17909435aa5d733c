"""Asking experts, each the same question once: what they said is kept by who they are and what was asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import orjson
from msgspec import structs

from experts.errors import (
    ExpertError,
    ExpertNotAsked,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnauthorised,
    ExpertUnavailable,
    ExpertUnknown,
    ShoalError,
)
from experts.pooling.identity import identity
from experts.spec import READS_VECTOR, AnySpec
from experts.wire import Call, Usage
from router.prompt import request_text
from router.snapshot import Snapshot

CANNOT = (ExpertUnavailable, ExpertUnauthorised)
"""Failures of the way to an expert, or of our key: nothing is known of its answers. At its first question they end the
run, before others are asked for nothing; once it was heard it is given up, and the others go on."""

PASSING = (
    ExpertOverloaded, ExpertTimedOut, ExpertUnavailable, ExpertNotAsked, ExpertUnknown, ExpertUnauthorised,
)  # fmt: skip
"""Failures that say nothing of the answer that would have come."""

LASTING = ("", ExpertRefused.__name__)
"""What is kept: an answer, and a refusal, which would come again. A server that broke may be mended tomorrow."""


class CannotAsk(ShoalError):
    """An expert cannot be asked at all, so that its figures would say nothing; the message holds the remedy."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an expert said, and what that took. What it cost is worked out from this, at the prices of the day."""

    text: str
    error: str
    """The kind of failure; empty when it answered."""
    usage: dict[str, Any]
    cpu_ns: int | None
    """Of its child process; None when it has none."""
    latency_us: int
    asked_on: str = ""
    """The date, in UTC; empty where an earlier version kept it."""

    @property
    def passing(self) -> bool:
        """Whether it failed in a way that may not come again, so that nothing is known of what it would say."""
        return self.error in {each.__name__ for each in PASSING}

    @property
    def tokens(self) -> Usage:
        """What was counted."""
        return Usage(**self.usage)


def _unheard(error: str) -> Said:
    """What is known of an answer that an expert was not asked for."""
    return Said("", error, structs.asdict(Usage()), None, 0)


_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "key": str, "text": str, "error": str, "usage": dict, "cpu_ns": (int, type(None)), "latency_us": int,
    "asked_on": str,
}  # fmt: skip
"""Of what a kept line holds."""


def _kept(line: bytes) -> dict[str, Any] | None:
    """What a line tells of an answer; None of one that was cut, damaged, or written by another version."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    row: dict[str, Any] = {"asked_on": "", **said} if isinstance(said, dict) else {}
    if row.keys() != _KINDS.keys():
        return None
    counted = structs.asdict(Usage())
    sound = all(isinstance(row[name], kind) for name, kind in _KINDS.items())
    told = sound and all(type(value) is type(counted.get(name)) for name, value in row["usage"].items())
    return row if told else None


class Memory:
    """What was said before: one JSON line an answer, appended as it comes, so a run that was cut goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: dict[str, Said] = {}
        self._cut = False

    def read(self) -> Self:
        """Take in what was kept. What is no answer is asked again; a last line that was cut is ended by the next."""
        kept = self._path.read_bytes() if self._path.exists() else b""
        self._cut = bool(kept) and not kept.endswith(b"\n")
        for line in kept.splitlines():
            row = _kept(line)
            if row is not None and row["error"] in LASTING:  # older versions kept other failures too
                key = row.pop("key")
                self._said[key] = Said(**row)
        return self

    def get(self, key: str) -> Said | None:
        """What was said, None when nobody has asked."""
        return self._said.get(key)

    def keep(self, key: str, said: Said) -> None:
        """Remember, now and for later runs."""
        self._said[key] = said
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(b"\n" * self._cut + orjson.dumps({"key": key, **asdict(said)}) + b"\n")
        self._cut = False


@dataclass(frozen=True, slots=True)
class Desk:
    """Where questions are asked: the experts of a snapshot, and what they said before."""

    snapshot: Snapshot
    memory: Memory
    anew: bool = False
    """Whether what an earlier run kept is asked again."""
    given_on: list[str | None] = field(default_factory=list)
    """Of each answer, the date of the earlier run that kept it; None where this one asked."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Experts that could not be asked any more, and why; until the next run nobody asks them again."""
    _heard: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)

    async def ask(
        self, spec: AnySpec, messages: Sequence[dict[str, Any]], max_tokens: int, *, fails: bool = True
    ) -> Said:
        """What an expert says, without luck (temperature 0). Where it may fail, a refusal is kept as an answer is.

        Raises `CannotAsk`.
        """
        body = {"model": spec.id, "messages": list(messages), "max_tokens": max_tokens, "temperature": 0}
        key = self._key(spec, body)
        known = self.memory.get(key)
        mine = key in self._asked
        if known is None or (known.error and not fails) or (self.anew and not mine):
            known = await self._ask(spec, body)
            if not known.error or (fails and known.error in LASTING):
                self.memory.keep(key, known)
                self._asked.add(key)
            mine = True
        self.given_on.append(None if mine else known.asked_on)
        return known

    def kept(self) -> dict[str, Any]:
        """How many `answers`, `of` how many, earlier runs kept, the `first` on which date and the `last`.

        A date is null where there is none, or an earlier version did not keep it.
        """
        dates = [each for each in self.given_on if each is not None]
        first, last = (min(dates), max(dates)) if dates else ("", "")
        return {"answers": len(dates), "of": len(self.given_on), "first": first or None, "last": last or None}

    def _key(self, spec: AnySpec, body: dict[str, Any]) -> str:
        who = identity(spec, self.snapshot.registry.encoder)
        asked = orjson.dumps({**body, "model": ""}, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(who.encode() + asked).hexdigest()

    async def _ask(self, spec: AnySpec, body: dict[str, Any]) -> Said:
        if spec.id in self.given_up:
            return _unheard(ExpertUnavailable.__name__)
        snapshot = self.snapshot
        text = request_text(body["messages"])
        vector = await snapshot.encoder.vector(text) if spec.kind in READS_VECTOR else None
        before, started = snapshot.pool.cpu_ns(spec.id), time.monotonic_ns()
        said, error, usage = "", "", Usage()
        try:
            async with snapshot.pool.lease(spec.id) as expert:
                completion = await expert.complete(Call(body, "eval", vector))
            said = completion.body["choices"][0]["message"].get("content") or ""
            usage = completion.usage
        except CANNOT as failure:
            if spec.id in self._heard:
                self.given_up[spec.id] = failure.message
                return _unheard(type(failure).__name__)
            remedy = "mend it and run again; what was answered so far is kept"
            raise CannotAsk(f"{spec.id}: cannot be asked ({failure.message}). Remedy: {remedy}") from failure
        except ExpertError as failure:
            error = type(failure).__name__
        self._heard.add(spec.id)
        taken_us = (time.monotonic_ns() - started) // 1000
        after = snapshot.pool.cpu_ns(spec.id)
        cpu_ns = after - before if after is not None and before is not None and after >= before else None
        counted = json.loads(json.dumps(structs.asdict(usage)))
        return Said(said, error, counted, cpu_ns, taken_us, datetime.now(UTC).date().isoformat())
