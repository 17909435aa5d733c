"""Records -> sentences: what holds, what does not, what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import floor, log10
from typing import Any, Final

from eval.bootstrap import COSTS
from eval.wording import asked, commit_text, interval_text, value_text

Record = Mapping[str, Any]

CONTROLS: Final = {"shuffled": "the same decisions shuffled", "task_mean": "being told the task and its best model"}
UNTOLD: Final = "what is best on average"
SAME_COST: Final = (
    "Points at the same cost: what the judge brings less what the other way brings, on average over "
    f"{COSTS} costs from the least to the most that the judge can take. A plot shows the other way as one point: "
    "what it does where quality alone counts."
)
UNTOUCHED: Final = 1e-6
"""Differences below this are rounding."""


def headline(records: Sequence[Record]) -> str:
    """How many of the figures asked for are reached."""
    told = [figure["reached"] for record in records for figure in record["figures"].values()]
    told = [each for each in told if each is not None]
    if not told:
        return "Nothing was asked of these figures."
    return f"{sum(told)} of {len(told)} figures reach what is asked of them."


def missed(records: Sequence[Record]) -> Iterator[str]:
    """A sentence for every figure that is not reached."""
    for record in records:
        for figure in record["figures"].values():
            if figure["reached"] is False:
                yield (
                    f"{record['title']}: {figure['title']} is {value_text(figure)} ({interval_text(figure)}), "
                    f"{asked(figure, 'reach')} was asked."
                )


def verdicts(record: Record) -> Iterator[tuple[bool, str, str]]:
    """Whether the judge is better than each control beyond doubt: whether, the verb, and by how much."""
    controls = CONTROLS | {"task_mean": f"{UNTOLD} ({why})"} if (why := untold(record)) else CONTROLS
    for name, found in record["verdict"].items():
        points = {end: f"{100 * found[end]:.2f}" for end in ("value", "low", "high")}
        by = f"{controls[name]}: {points['value']} points at the same cost ({points['low']} to {points['high']})"
        if found["beats"]:
            yield True, "beats", by
        elif found["high"] < 0:
            yield False, "is worse than", by
        else:
            yield False, "does not beat beyond doubt", by


def untold(record: Record) -> str:
    """Why being told the task says no more than the average does; empty where it says more."""
    if not record["detail"].get("by_task"):
        return "this set names no tasks"
    return "nothing is known of a task never seen" if record["detail"].get("split") == "task" else ""


def leaks(record: Record) -> str:
    """What was done about repeats."""
    detail = record["detail"]
    if "dropped" not in detail:
        return "Nothing is fitted on these requests."
    near = f"{detail['near_duplicates']:,} near-duplicates (cosine above 0.9)"
    if record["kind"] == "labels":
        apart = detail.get("accuracy_apart")
        without = f"; without them accuracy is {100 * apart:.1f} %" if apart is not None else ""
        dropped = f"{detail['dropped']:,} rows dropped whose text is both taught and asked about"
        return f"{dropped}; {near} of what is taught in what is asked about{without}."
    return f"{detail['dropped']:,} exact repeats dropped; {near} kept on one side of every split."


def seeds(record: Record, undrawn: Collection[str]) -> str:
    """How many seeds were tried; `undrawn` are the ids of runs in which each gives the same."""
    count = len(record["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}" + (", nothing is drawn" if record["id"] in undrawn else "")


def rests_on(record: Record) -> str:
    """Data, encoder, commit, date."""
    return (
        f"{record['file']} (sha256 {record['data_sha256'][:12]}); "
        f"encoder {record['encoder'][:12]}; {commit_text(record)}; {record['date'][:10]}"
    )


def earned(found: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """What a part is worth to a figure of `unit`, and how to show it: good, bad or nothing. Shares in points."""
    if max(abs(found[end]) for end in ("value", "low", "high")) < UNTOUCHED:
        return "does not touch it", ""
    points = unit in ("%", "points")
    value, low, high = ((100 if points else 1) * found[end] for end in ("value", "low", "high"))
    digits = _digits({"yes": low, "harms": high}.get(found["earns"]), 2 if points else 4)
    span = f"{value:+.{digits}f}{' points' * points} ({low:+.{digits}f} to {high:+.{digits}f})"
    words = {"yes": "earns its place", "harms": "harms", "nothing sure": "earns nothing sure"}[found["earns"]]
    return f"{words}: {span}", {"yes": "good", "harms": "bad"}.get(found["earns"], "")


def _digits(bound: float | None, least: int) -> int:
    """After the point, `least` or as many as show on which side of 0 a bound lies."""
    return least if not bound else max(least, -floor(log10(abs(bound))))


def places(records: Sequence[Record]) -> Iterator[str]:
    """A sentence for each part of the judge: on which sets it earns its place, and on which it harms."""
    parts: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = {}
    for record in records:
        for part, figures in record["ablation"].items():
            for name, found in figures.items():
                sets = parts.setdefault((record["kind"], part), {}).setdefault(found["earns"], {})
                sets.setdefault(record["title"], []).append(record["figures"][name]["title"])
    for (kind, part), told in parts.items():
        earns, harms = _listed(told.get("yes", {})), _listed(told.get("harms", {}))
        said = f"earns its place on {earns}" if earns else "earns nothing sure on any set"
        but = f", and harms on {harms}" if harms else "" if earns else ", and harms on none"
        yield f"{part} ({_JUDGES[kind]}): {said}{but}."


_JUDGES: Final = {"labels": "of domains", "outcomes": "of outcomes"}
"""What the parts of a judge belong to, by kind of run: two have a part called neighbours."""


def _listed(sets: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{title} ({', '.join(figures)})" for title, figures in sets.items())
