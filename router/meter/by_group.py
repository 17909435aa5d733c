"""What was saved on each domain's, policy's, key's or day's requests: the estimate of all of them, made for each alone.

Which group a request is in is settled before anybody is drawn, so a group is a smaller ledger, and the same estimator
holds: nothing under 100 conversations, provisional under 300. Who answered is settled afterwards, so what was saved
on all that an expert was asked is not estimated; what its answers save is, from those held back that it answered in
the shadow. A fallback on fixed machines answers all groups in one batch, so each is told in the batches that all of
them together would have had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from router.meter.alike import Alike
from router.meter.amounts import as_few, most_held, saved_known
from router.meter.answers import saved
from router.meter.paired import Paired, Rows
from router.meter.priced import NO_GAPS, Gaps, gaps_of
from router.meter.quality import quality
from router.meter.reconcile import reconciled
from router.meter.savings import LEAST
from router.meter.segment import Segment, Spell
from router.meter.totals import Report, called
from router.meter.units import many
from router.meter.verified import compared, figures, known_part, savings_of

TOLD: Final = (
    "standing", "verified", "held_back", "requests", "share", "low", "high", "cost_usd", "energy_j", "co2_g", "spent",
    "counterfactual",
)  # fmt: skip
"""Of what is said of all requests, also of a group; from "share" on None where it is not enough."""

BY_EXPERT: Final = "who answers is known only after the draw, so an expert's answers are no fair sample"


def saved_by_answers(
    connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None
) -> dict[str, dict[str, Any]]:
    """What the answers of each expert saved, as `answers.saved`, of experts of whose answers enough was held back.

    Everything spent on the requests they answered is charged.
    """
    names: dict[int | None, str] = dict(connection.execute("SELECT id, name FROM names"))
    found = groups_of(Rows.read(connection, "expert", since_us, until_us)).items()
    return {names[who]: saved(paired) for who, paired in found if any(each.plain.requests for each in paired.sure)}


def told(of: Mapping[str, Any]) -> dict[str, Any]:
    """As in `groups` of `shoal meter report --json`; `why_not` says what an estimate lacks."""
    found = {name: of[name] for name in TOLD}
    held = most_held(of)
    count = held["conversations"]
    were = f"{many(count, 'conversation')} {'was' if count == 1 else 'were'} held back{as_few(held)}"
    return found | {"why_not": f"{were}, {LEAST} are needed" if of["share"] is None else None}


def estimate(connection: sqlite3.Connection, found: Report, ranges: Sequence[Alike], gaps: Gaps) -> None:
    """What was saved, of all requests or of one key's, and of each group, inside the caller's transaction.

    `ranges` are those that the report was made of, `gaps` those of its period, as far as they were asked for.
    """
    period, of = (found.since_us, found.until_us), found.group_by
    names: dict[int | None, str] = dict(connection.execute("SELECT id, name FROM names"))
    if found.own is not None:
        found.routed = _of_key(connection, found.own, *period)
        if of == "key" and found.routed:
            found.groups[found.own].savings = told(found.routed)
        return
    rows = Rows.of(connection, of, *period, ranges)
    found.routed = savings_of(rows, *period, gaps=gaps)
    if of is not None and of != "expert":
        for group, paired in groups_of(rows).items():
            found.groups[called(of, group, names)].savings = told(figures(paired))


def _of_key(connection: sqlite3.Connection, own: str, since_us: int | None, until_us: int | None) -> dict[str, Any]:
    """As `verified.savings`, of the requests of a key by its id; empty where it has none."""
    ((number,),) = connection.execute("SELECT max(id) FROM names WHERE name = ?", (own,))
    rows = Rows.read(connection, "key", since_us, until_us)
    if (paired := groups_of(rows).get(number)) is None:
        return {}
    part = None
    if not saved_known(compared(paired)):
        priced = groups_of(rows, gaps_of(connection, since_us, until_us))[number]
        paired = reconciled(paired, priced)
        part = known_part(paired, priced, gaps_of(connection, since_us, until_us, own=own))
    answers = quality(connection, since_us, until_us, own) | {"lost_pairs": rows.lost[number]}
    return figures(paired) | {"priced_part": part, "quality": answers}


def groups_of(rows: Rows, gaps: Gaps = NO_GAPS) -> dict[int | None, Paired]:
    """Each group's requests, on fixed machines in the batches of all, by its number in `names` or the day since 1970.

    Groups are estimated each by itself, so they add up to the figure of all only about as well as that is known.
    """
    groups = rows.by_group(gaps)
    if not any(each.on_machines for paired in groups.values() for each in paired.segments):
        return groups  # what the others ask for changes nothing
    everybody = rows.together(gaps)
    return {group: _among(paired, everybody) for group, paired in groups.items()}


def _among(some: Paired, whole: Paired) -> Paired:
    """Segments of a group, each among all requests of its fallback."""
    wholes = {(each.fallback, each.model): each for each in whole.segments}
    parts = ((each, wholes.get((each.fallback, each.model))) for each in some.segments)
    return Paired(tuple(each if of is None else _in_batches_of(of, each) for each, of in parts))


def _in_batches_of(whole: Segment, some: Segment) -> Segment:
    """Some of a segment's requests, in the batches that all of them would have had."""
    everybody, own = (
        {(spell.capacity, spell.size): (spell, float(taken_uj), float(variance)) for spell, taken_uj, variance in told}
        for told in (zip(each.spells, *each.at_todays_batch(), strict=True) for each in (whole, some))
    )
    return replace(some, spells=tuple(_among_all(everybody[said], told) for said, told in own.items()))


def _among_all(everybody: tuple[Spell, float, float], own: tuple[Spell, float, float]) -> Spell:
    """The spell of a group; of each what the fallback would have taken at today's batches, and its variance."""
    (whole, taken_uj, of_taken), (some, own_uj, of_own) = everybody, own
    if (machines := whole.machines) is None:
        return some
    beside = replace(
        machines, other_uj=machines.other_uj + taken_uj - own_uj, other_variance=max(of_taken - of_own, 0.0)
    )
    return replace(some, machines=beside)
