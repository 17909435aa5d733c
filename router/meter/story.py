"""What a request's row says in several places, which has to be one story. Pure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.meter.holdback import held_back
from router.meter.hours_schema import HOUR_US
from router.meter.ppm import PPM
from router.meter.record import BESIDE, Arm, Role, Status
from router.meter.rows import FIRST_BESIDE_N
from router.meter.ulid import ulid_text, ulid_us
from router.reason import Reason

LEFT: Final = frozenset({"CancelledError", "GeneratorExit"})
"""How a client that left is told in `error_code`."""

WAIT_US: Final = 600_000_000
"""From a request's first byte to its row: a body has 30 s, then it is judged; with room for a machine under load."""

BACK_US: Final = 61_000_000
"""Ids go on growing while the clock is back by a minute at most; and a millisecond is cut off."""

_MIGHT_BE: Final = frozenset({Arm.OFF, Arm.BUSY, Arm.FAILED})
"""Arms of requests that were not drawn and may have a conversation all the same: that another time they might be."""

Check = tuple[str, Any, Any]
"""A figure, what is kept, and what follows from the rest."""


@dataclass(frozen=True, slots=True)
class Known:
    """What rows are read with."""

    names: Mapping[int | None, str]
    boots: Mapping[int, int]
    """Runs, and 1 for each that is over."""
    keys: Mapping[int, bytes | None]
    """That draws are made with, by seed version; None where it is not at hand."""


def story(row: sqlite3.Row, attempts: Sequence[sqlite3.Row], known: Known) -> Iterator[Check]:
    """Everything one request's row, and those of its attempts, must agree on."""
    heard = [each for each in attempts if each["role"] not in BESIDE]
    yield from _begun(row, known)
    yield from _drawn(row, known)
    yield from _numbered(attempts, heard)
    if row["status"] == Status.STARTED:
        yield "run of a request under way", "over" if known.boots.get(row["boot"]) else "there", "there"
    elif row["status"] == Status.INTERRUPTED:
        yield from _interrupted(row, heard)
    else:
        yield from _ended(row, heard, known)
        yield from _asked(row, heard, known)


def _begun(row: sqlite3.Row, known: Known) -> Iterator[Check]:
    ts_us, made_us = row["ts_us"], ulid_us(ulid_text(row["request_id"]))
    # One that came with a clock months behind stands at the beginning of another hour.
    near = -BACK_US <= ts_us - made_us < WAIT_US or (ts_us > made_us and not ts_us % HOUR_US)
    yield "ts_us", ts_us, ts_us if near else made_us
    yield "boot", row["boot"], row["boot"] if row["boot"] in known.boots else None


def _drawn(row: sqlite3.Row, known: Known) -> Iterator[Check]:
    rate_ppm, talk = row["pi_ppm"], row["conversation"]
    version = row["seed_version"]
    if rate_ppm is None or talk is None or version is None:
        nobody_drawn = row["arm"] in set(Arm) - {Arm.HOLDBACK}
        yield "arm", row["arm"], row["arm"] if nobody_drawn else int(Arm.NORMAL)
        might_be = row["arm"] in _MIGHT_BE and rate_ppm is None and talk is not None and version in known.keys
        yield "draw", (rate_ppm, version, talk), (None, version, talk) if might_be else (None, None, None)
        if row["arm"] == Arm.UNABLE and row["role"] != Role.NAMED:
            yield "arm of one that no small expert was chosen for", row["role"] == Role.ROUTED, True
        return
    yield "seed_version", version, version if version in known.keys else None
    yield "pi_ppm", rate_ppm, min(max(rate_ppm, 1), PPM)
    if (key := known.keys.get(version)) is not None:
        held = held_back(key, talk, rate_ppm / PPM)
        if row["arm"] == Arm.FAILED:
            yield "draw of one that failed", _was_held(row), held
        else:
            yield "arm", row["arm"], int(Arm.HOLDBACK if held else Arm.NORMAL)


def _was_held(row: sqlite3.Row) -> bool:
    """Whether the fallback was asked first in the place of a small expert, though it may have failed then."""
    failed = row["arm"] == Arm.FAILED and row["pi_ppm"] is not None and row["role"] == Role.FALLBACK
    return row["arm"] == Arm.HOLDBACK or failed


def _numbered(attempts: Sequence[sqlite3.Row], heard: Sequence[sqlite3.Row]) -> Iterator[Check]:
    wanted = [*range(len(heard)), *range(FIRST_BESIDE_N, FIRST_BESIDE_N + len(attempts) - len(heard))]
    yield "numbers of its attempts", [each["n"] for each in attempts], wanted


def _interrupted(row: sqlite3.Row, heard: Sequence[sqlite3.Row]) -> Iterator[Check]:
    """The server died: nothing is known but what a stream had said by then."""
    yield "answered_by", row["answered_by"], None
    counted = [(int(Status.INTERRUPTED), row["checkpoint_tokens"])] if row["checkpoint_tokens"] else []
    yield "attempts of a request that was interrupted", [(a["status"], a["output_tokens"]) for a in heard], counted


def _ended(row: sqlite3.Row, heard: Sequence[sqlite3.Row], known: Known) -> Iterator[Check]:
    last = heard[-1] if heard else None
    answered = last["expert"] if last is not None and last["status"] == Status.OK else None
    yield "answered_by", known.names.get(row["answered_by"]), known.names.get(answered)
    yield "status", row["status"], _status(row, heard, known)
    if heard:
        yield "error_code", row["error_code"] is not None, row["status"] != Status.OK
    yield "first_byte_us", row["first_byte_us"], last["first_byte_us"] if last is not None else None
    taken_us = sum(each["total_us"] for each in heard)
    yield "total_us", row["total_us"], max(row["total_us"] or 0, taken_us, row["first_byte_us"] or 0)
    for each in heard:
        failed, open_or_dead = each["error_code"] is not None, (Status.STARTED, Status.INTERRUPTED)
        yield "status of an attempt", each["status"] in open_or_dead, False
        yield "error_code of an attempt", failed, each["status"] != Status.OK
        yield "first_byte_us of an attempt", *_within(each)


def _status(row: sqlite3.Row, heard: Sequence[sqlite3.Row], known: Known) -> Status:
    """As the account closes: by the last attempt, by how it failed, and by whether anything was said before."""
    if heard and heard[-1]["status"] == Status.OK:
        return Status.OK
    if row["error_code"] is None or known.names.get(row["error_code"]) in LEFT:
        return Status.CANCELLED
    return Status.PARTIAL if any(each["first_byte_us"] is not None for each in heard) else Status.ERROR


def _within(row: sqlite3.Row) -> tuple[int | None, int | None]:
    first_us = row["first_byte_us"]
    return first_us, None if first_us is None else min(first_us, row["total_us"])


def _asked(row: sqlite3.Row, heard: Sequence[sqlite3.Row], known: Known) -> Iterator[Check]:
    if not heard:
        return
    first, held, names = heard[0], _was_held(row), known.names
    yield "expert", names.get(first["expert"]), names.get(row["fallback"] if held else row["expert"])
    yield "role", first["role"], row["role"]
    if row["arm"] == Arm.FAILED:
        yield "a fallback that failed", row["fallback"] in [each["expert"] for each in heard[:-1]], True
    others = [each["role"] for each in heard[1:]]
    yield "role of a later attempt", others, [int(_later(row, held))] * len(others)
    retried = len(heard) > 1
    answered = heard[-1]["status"] == Status.OK
    before = answered and (retried or (row["role"] == Role.FALLBACK and not held))
    yield "escalated", names.get(row["escalated"]), "before" if before else ""
    yield from _why(row, retried, before, names)


def _later(row: sqlite3.Row, held: bool) -> Role:
    return Role.ROUTED if held else Role.FALLBACK


def _why(row: sqlite3.Row, retried: bool, before: bool, names: Mapping[int | None, str]) -> Iterator[Check]:
    """The reason of an escalation; rows from before it was kept have none."""
    why = names.get(row["why"], "")
    if not before:
        yield "why", why, ""
    elif retried:
        yield "why", why or Reason.FAILED, Reason.FAILED
    else:
        yield "why", why in {"", *Reason} and why != Reason.FAILED, True
