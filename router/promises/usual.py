"""What a usual request and its answer are in tokens, at each expert: what the ledger tells of answers, else a guess.

The ledger is read when a server starts, when what judges learnt from has changed, and when promises are made again.
What was read is kept beside the certificates, so that all workers, and commands beside them, go by the same figures.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from msgspec.structs import replace

from experts.disk import unkept
from experts.spec import READS_VECTOR, Generative, Registry
from experts.state_file import StateDamaged, read_state, sealed, whole_number
from experts.whole import write_whole
from experts.wire import Usage
from router.meter.errors import MeterUnavailable
from router.meter.hours_schema import CACHE_WRITES, DAY
from router.meter.ledger import read_ledger
from router.meter.record import BESIDE, Status
from router.meter.spans import spans
from router.request import DEFAULT_ANSWER_TOKENS

log = logging.getLogger("shoal.promises")

USUAL: Final = "usual"
"""Beside the certificates; no policy's file, for those end in .json."""

GUESS: Final = Usage(input=64, output=DEFAULT_ANSWER_TOKENS)
"""Tokens of a request and its answer where the ledger knows too few; no more than an expert writes by itself."""

FEWEST_ANSWERS: Final = 100
"""By which the mean of tokens that vary as much as their mean is known to a tenth of it."""

DAYS: Final = 30
"""Looked back on: what apps send changes, and an expert's answers with its prompts."""

_ANSWERED: Final = f"""
FROM {{attempts}} JOIN names m ON m.id = {{own}}.expert
WHERE {{bounds}} AND r.policy IS NOT NULL AND {{own}}.expert = r.answered_by
  AND {{own}}.status = {int(Status.OK)}
  AND {{own}}.role NOT IN ({", ".join(str(int(role)) for role in sorted(BESIDE))})
GROUP BY m.name
"""
"""Answers to routed requests that went well; of one that broke off nobody knows how long it would have been."""


class Sums(NamedTuple):
    """Answers, and the tokens of all of them."""

    n: int = 0
    asked: int = 0
    answered: int = 0
    cached: int = 0
    cache_write: int = 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(*(one + two for one, two in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class Answers:
    """What the ledger tells of the answers to routed requests."""

    by_expert: Mapping[str, Sums] = field(default_factory=dict)
    until: str = ""
    """The date on which it was read."""

    @classmethod
    def read(cls, connection: sqlite3.Connection, now: datetime) -> Self:
        """Those of the last `DAYS`; sums of days and hours are read where there are any."""
        since_us = (int(now.timestamp() * 1e6) // DAY.us - DAYS) * DAY.us
        found: dict[str, Sums] = {}
        for source, bounds in spans(connection, since_us, None):
            tokens = source.total("input_tokens", "output_tokens", "cached_tokens", CACHE_WRITES, of=source.own)
            query = _ANSWERED.format(attempts=source.attempts, own=source.own, bounds=source.bounds)
            for name, *sums in connection.execute(f"SELECT m.name, {source.count}, {tokens} {query}", bounds):
                found[name] = found.get(name, Sums()).plus(Sums(*sums))
        return cls(found, now.date().isoformat())

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"until": self.until, "answers": {name: sums._asdict() for name, sums in self.by_expert.items()}}

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Self:
        """Read what `to_json` told. Raises `StateDamaged`."""
        told, until = kept.get("answers"), kept.get("until")
        if not isinstance(told, dict) or not isinstance(until, str):
            raise StateDamaged("it tells of no answers")
        found = {}
        for name, sums in told.items():
            if not isinstance(sums, dict):
                raise StateDamaged(f"what it tells of {name!r} are no sums")
            found[name] = Sums(*(whole_number({"cache_write": 0} | sums, key) for key in Sums._fields))
        return cls(found, until)


@dataclass(frozen=True, slots=True)
class Usual:
    """Tokens that requests are expected to take."""

    answers: Answers = field(default_factory=Answers)
    most: Mapping[str, int] = field(default_factory=dict)
    """Tokens that an expert writes where the client names no limit."""
    unwritten: frozenset[str] = frozenset()
    """Experts of labels and curated answers: how long these are says nothing of what others write."""

    @classmethod
    def of(cls, answers: Answers, registry: Registry) -> Self:
        """Of a registry's experts."""
        limits = {spec.id: spec.default_max_tokens for spec in registry.experts if isinstance(spec, Generative)}
        unwritten = frozenset(spec.id for spec in registry.experts if spec.kind in READS_VECTOR)
        return cls(answers, {name: limit for name, limit in limits.items() if limit is not None}, unwritten)

    def thousand(self, expert: str) -> Usage:
        """The tokens of a thousand requests that an expert answers.

        Of one whose answers the ledger tells too few of, those of all that were written; no more than it writes by
        itself.
        """
        own, every = self.answers.by_expert.get(expert, Sums()), self._every
        if own.n >= FEWEST_ANSWERS:
            return _thousand(own)
        told = _thousand(every) if every.n >= FEWEST_ANSWERS else _thousand(Sums(1, GUESS.input, GUESS.output))
        return replace(told, output=min(told.output, 1000 * self.most.get(expert, told.output)))

    def told(self, experts: Iterable[str]) -> str:
        """Which tokens these are, and whose, in words."""
        if self._every.n < FEWEST_ANSWERS:
            return (
                f"{GUESS.input} tokens asked and {GUESS.output} answered a request, or what an expert's "
                f"default_max_tokens allows, are a guess until the ledger tells of {FEWEST_ANSWERS} routed answers "
                "that were written"
            )
        each = ", ".join(self._told(name) for name in experts)
        period = f"the {DAYS} days to {self.answers.until}"
        return f"tokens asked and answered a request as by the routed answers in the ledger, in {period}: {each}"

    def _told(self, expert: str) -> str:
        tokens, n = self.thousand(expert), self.answers.by_expert.get(expert, Sums()).n
        rests = f"{n:,} answers" if n >= FEWEST_ANSWERS else f"{n:,} of its own, so as all {self._every.n:,}"
        return f"{expert} {tokens.input / 1000:.1f} and {tokens.output / 1000:.1f} ({rests})"

    @property
    def _every(self) -> Sums:
        found = Sums()
        for name, sums in self.answers.by_expert.items():
            found = found if name in self.unwritten else found.plus(sums)
        return found


def _thousand(sums: Sums) -> Usage:
    asked, answered, cached, written = (round(1000 * tokens / sums.n) for tokens in sums[1:])
    return Usage(asked, answered, cached, cache_write=written)


def answers_of(
    ledger: Path | None, folder: Path | None, data: str, last: Answers | None, *, anew: bool, keep: bool
) -> Answers:
    """What the ledger tells, as it was kept in the folder for the same `data` that a judge was fitted on, or read now.

    A server that starts (it keeps, and nothing served before) reads it, else only what is read `anew` or was not kept.
    Without ledger and folder it is what served `last`. One that cannot be read is told, and counts as empty.
    """
    if ledger is None or folder is None:
        return last or Answers()
    kept = _kept(folder / USUAL, data)
    if kept is not None and not anew and (last is not None or not keep):
        return kept
    try:
        with closing(read_ledger(ledger)) as connection:
            found = Answers.read(connection, datetime.now(UTC))
    except (MeterUnavailable, sqlite3.Error) as error:
        if ledger.exists():
            log.warning("how many tokens requests take is not read from the ledger: %s", error)
        return kept or last or Answers()
    if keep and found != kept:
        with unkept(folder, "how many tokens requests take is read from the ledger again at the next start"):
            write_whole(folder / USUAL, sealed({"data": data, **found.to_json()}))
    return found


def _kept(path: Path, data: str) -> Answers | None:
    try:
        told = read_state(path)
        return Answers.of_json(told) if told.get("data") == data else None
    except FileNotFoundError:
        return None
    except StateDamaged as error:
        log.warning("%s: is damaged: %s. Remedy: none is needed, the ledger is read again.", path, error)
        return None
