"""Records -> sentences: what holds, what does not, what that rests on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, Final

from eval.bootstrap import COSTS
from eval.plan import Plan
from eval.wording import commit_text, interval_text, target_text, value_text

Record = Mapping[str, Any]

CONTROLS: Final = {"shuffled": "its own decisions, shuffled", "task_mean": "choosing the best model for the task"}
UNTOLD: Final = "the model that is best on average"
SAME_COST: Final = (
    "Points at the same cost: the quality of the judge minus that of the other method, averaged over "
    f"{COSTS} costs from the least to the most that the judge can spend. A plot shows the other method as one point: "
    "its choice for quality alone."
)
VERDICTS: Final = {
    True: '<span class="good">reached</span>',
    False: '<span class="bad">not reached</span>',
    None: "",
}
"""Of a figure and its target, as the page marks them."""

UNTOUCHED: Final = 1e-6
"""Differences below this are rounding."""


def headline(records: Sequence[Record], unmeasured: int = 0) -> str:
    """How many of the figures with a target reach it, of so many more that are not measured none."""
    told = [figure["reached"] for record in records for figure in record["figures"].values()]
    told = [each for each in told if each is not None]
    asked = len(told) + unmeasured
    if not asked:
        return "No figure has a target."
    lacking = f"; {unmeasured} of them {'are' if unmeasured > 1 else 'is'} not measured" if unmeasured else ""
    return f"{sum(told)} of {asked} figures reach their target{lacking}."


def unmeasured(plan: Plan, records: Sequence[Record]) -> Iterator[str]:
    """A sentence for every figure of a plan that has a target and stands in no record."""
    measured = {record["id"]: record["figures"] for record in records}
    for run in plan.runs:
        for name, figure in run.figures.items():
            if figure.reach is not None and name not in measured.get(run.id, {}):
                yield f"{run.title}: {figure.title}; the target is {target_text(figure.model_dump(), 'reach')}."


def missed(records: Sequence[Record]) -> Iterator[str]:
    """A sentence for every figure that is not reached."""
    for record in records:
        for figure in record["figures"].values():
            if figure["reached"] is False:
                value = value_text(figure) + (f" ({span})" if (span := interval_text(figure)) else "")
                target = target_text(figure, "reach")
                yield f"{record['title']}: {figure['title']} is {value}; the target is {target}."


def verdicts(record: Record) -> Iterator[tuple[bool, str, str]]:
    """Whether the judge is better than each control beyond doubt: whether, the verb, and by how much."""
    controls = CONTROLS | {"task_mean": f"{UNTOLD} ({why})"} if (why := untold(record)) else CONTROLS
    for name, found in record["verdict"].items():
        span = f" ({100 * found['low']:.2f} to {100 * found['high']:.2f})" if found["low"] is not None else ""
        by = f"{controls[name]}: {100 * found['value']:.2f} points at the same cost{span}"
        if found["beats"]:
            yield True, "beats", by
        elif span and found["high"] < 0:
            yield False, "is worse than", by
        else:
            yield False, "is not certain to beat", by


def untold(record: Record) -> str:
    """Why knowing the task is no better than knowing the average; empty where it may be."""
    if not record["detail"].get("by_task"):
        return "the set names no tasks"
    return "nothing is known of unseen tasks" if record["detail"].get("split") == "task" else ""


def leaks(record: Record) -> str:
    """What was done about repeats."""
    detail = record["detail"]
    if "dropped" not in detail:
        return "Nothing is fitted on these requests."
    near = f"{detail['near_duplicates']:,} near-duplicates (cosine above 0.9)"
    if record["kind"] == "labels":
        apart = detail.get("accuracy_apart")
        without = f"; without them accuracy is {100 * apart:.1f} %" if apart is not None else ""
        repeats = detail.get("repeats", 0)
        dropped = f"{detail['dropped'] - repeats:,} rows dropped whose text is in both training and test data"
        dropped += f", and {repeats:,} exact repeats" if repeats else ""
        return f"{dropped}; {near} of training rows among the test rows{without}."
    told = f"{detail['dropped']:,} exact repeats dropped; {near} kept on one side of every split."
    if unscored := detail.get("unscored", 0):
        told += f" Scored are {detail['test']:,} rows; {unscored:,} are not, for not every model answered them."
    return told


def seeds(record: Record, undrawn: Collection[str]) -> str:
    """How many seeds were tried; `undrawn` are the ids of runs in which each gives the same."""
    count = len(record["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}" + (
        ", nothing is drawn at random" if record["id"] in undrawn else ""
    )


def rests_on(record: Record) -> str:
    """Data, encoder, commit, date."""
    return (
        f"{record['file']} (sha256 {record['data_sha256'][:12]}); "
        f"encoder {record['encoder'][:12]}; {commit_text(record)}; {record['date'][:10]}"
    )


def touched(found: Mapping[str, Any]) -> bool:
    """Whether leaving a part out changes a figure at all."""
    return any(abs(found[end] or 0) >= UNTOUCHED for end in ("value", "low", "high"))


def worth(found: Mapping[str, Any], unit: str) -> str:
    """What a part is worth to a figure of `unit`, and how sure that is; shares in points."""
    points = unit in ("%", "points")
    least = 2 if points else 4
    named = " points" if points else f" {unit}" * bool(unit)
    if found["low"] is None:
        return f"{(100 if points else 1) * found['value']:+.{least}f}{named}"
    value, low, high = ((100 if points else 1) * found[end] for end in ("value", "low", "high"))
    decides = {"yes": low, "harms": high}.get(found["earns"])
    ends = " to ".join(f"{end:+.{_digits(end, least) if end == decides else least}f}" for end in (low, high))
    return f"{value:+.{least}f}{named} ({ends})"


def _digits(bound: float, least: int) -> int:
    """After the point, `least` or as many as show on which side of 0 a bound lies."""
    return least if not bound else max(least, -floor(log10(abs(bound))))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the judge: of what, its name, and what it earned, by `EARNS`, with a line for each set and figure."""

    judge: str
    name: str
    told: Mapping[str, list[str]]

    def __str__(self) -> str:
        return f"{self.said} (of {self.judge})"

    @property
    def said(self) -> str:
        """Its name, as people write it."""
        return self.name.replace("_", " ")

    @property
    def means(self) -> str:
        """What it is, in plain words."""
        return MEANS[self.judge].get(self.name, "")


EARNS: Final = ("yes", "harms", "nothing sure")
JUDGES: Final = {"labels": "domains", "requests": "domains", "outcomes": "outcomes"}
"""What the parts of a judge belong to, by kind of run: two have parts called neighbours and shrinkage."""

MEANS: Final[Mapping[str, Mapping[str, str]]] = {
    "domains": {
        "scores": "a low score of the likeliest domain marks an unfamiliar request",
        "centroid": "distance from the domain's centroid marks an unfamiliar request",
        "neighbours": "distance from the domain's nearest examples marks an unfamiliar request",
        "shrinkage": "a domain with few examples borrows its scale from all domains",
        "names": "the domain's name counts as one more example",
        "rivals": "the two likeliest domains are told apart by their nearest examples",
        "temperature": "temperature scaling of the domain probabilities",
        "outside": "examples of requests that no expert should answer",
        "out_of_domain": "unfamiliar requests go to the fallback",
    },
    "outcomes": {
        "tasks": "each task has its own starting point",
        "surface": "surface features: length, digits, code and the like",
        "neighbours": "outcomes of similar requests",
        "shrinkage": "few outcomes change little",
        "calibration": "Platt scaling of the probabilities",
    },
}


def parts(records: Sequence[Record]) -> list[Part]:
    """Every part of the judge that was left out somewhere; what does not touch a figure is not told of."""
    found: dict[tuple[str, str], Part] = {}
    for record in records:
        for name, figures in record["ablation"].items():
            judge = JUDGES[record["kind"]]
            part = found.setdefault((judge, name), Part(judge, name, {each: [] for each in EARNS}))
            for figure, earned in figures.items():
                shown = record["figures"][figure]
                if touched(earned):
                    said = f"{shown['title']} {worth(earned, shown['unit'])}: {record['title']}"
                    part.told[earned["earns"]].append(said)
    return sorted(found.values(), key=lambda part: part.judge)


def places(told: Sequence[Part]) -> str:
    """In a sentence or three: how many parts help somewhere, which do nowhere, which harm somewhere."""
    idle = [str(part) for part in told if not part.told["yes"]]
    harm = [str(part) for part in told if part.told["harms"]]
    earn = f"{len(told) - len(idle)} of the judge's {len(told)} parts help on at least one set."
    nothing = f" No certain benefit on any set: {', '.join(idle)}." if idle else ""
    return earn + nothing + (f" Some harm another set: {', '.join(harm)}." if harm else "")
