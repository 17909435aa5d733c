"""What a domain added with twenty examples takes over at once, and what that costs the others.

    python -m eval.added --data ../shared/data      writes eval/results/added.json
    python -m eval.added --only owners              measures one group again; the record keeps the rest of its figures

Three times (eval/newcomers.py): domains of public data that no expert of the default registry knows, one at a time and
three together, and every expert of the registry in turn, on requests as apps send them, each decided as a server does;
and eight intents of clinc150 beside fifty others of forty examples each, as a policy with a threshold decides. A cost
is the others' share of right answers before less that after. Beside all stands what the domain takes and costs once all
its examples are there, and by the likeliest domain alone, without thresholds. The twenty are drawn at random, and for
experts of the registry once more as an owner would choose them: one of each kind of request. And both once more where
`shoal learn` has learnt from requests that nobody scored (`_used`): our validation half and validation rows of public
data; only test rows are counted then. Intervals are over requests, drawn again.

The default registry's own requests are too few to tell a cost to a tenth of a point. So each of the public domains is
added once more as the last (`strangers_last`): the rest are there before it with all their examples, and their requests
are among those of the others.

And domains written for this (`owners`, eval/data/owners-card.yaml), each with twenty examples that somebody chose, some
beside what the registry knows and some far from it; they have no more, so no `later`.

Beside what is taken stands what was `foretold`: the share of the twenty that would be sent to the newcomer, each judged
without itself. Whoever adds an expert is told it at once (`router/learn/coverage.py`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from eval.added_table import ROWS
from eval.answered import Answered, Asked, Bools, answered_by_label, asked_before, asked_of_registry, left_out_sent
from eval.bootstrap import drawn
from eval.drawn import APART, Doubles
from eval.newcomers import (
    ADDED,
    PUBLIC,
    Draw,
    Newcomer,
    Told,
    covering,
    each_the_last,
    experts_added,
    intents_added,
    joined,
    owners_added,
    strangers_added,
    together,
)
from eval.provenance import ROOT, origin
from experts.destination import require_file, write_there
from experts.errors import ShoalError, WrongUsage
from experts.registry import load_registry
from experts.spec import Registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import unscored
from router.learn.fit import Lessons, outside_of
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of

RESULT: Final = ROOT / "eval/results/added.json"
DATA: Final = Path(os.environ.get("SHOAL_EVAL_DATA", ROOT.parent / "shared/data"))
CACHE: Final = ROOT / ".shoal/vectors"

FEW: Final = 3
"""Newcomers that are added together."""


@dataclass(frozen=True)
class Added:
    """Of c newcomers and n requests: whose they are (c, n), and how often a judge was right about them (c, 2, n)."""

    own: Bools
    theirs: Bools
    before: Doubles
    at_once: Doubles
    """The mean over the seeds."""
    later: Doubles
    foretold: Doubles
    """The share (c,) of a newcomer's few examples that would be sent to it, each judged without itself; a mean too."""

    def figures(self, which: slice = slice(None)) -> dict[str, Any]:
        """Shares with intervals, the mean over some of the newcomers."""
        told = {
            "taken": (self.at_once, self.own),
            "taken_later": (self.later, self.own),
            "cost": (self.before - self.at_once, self.theirs),
            "cost_later": (self.before - self.later, self.theirs),
        }
        kinds = {"": 0, "likeliest_": 1}
        return {
            f"{kind}{name}": _share(right[which, place], among[which])
            for kind, place in kinds.items()
            for name, (right, among) in told.items()
        }

    def forecast(self) -> dict[str, float]:
        """What was foretold, on average, and by how much it is off what is taken, whether more or less."""
        taken = (self.at_once[:, 0] * self.own).sum(axis=1) / np.maximum(self.own.sum(axis=1), 1)
        return {"share": float(self.foretold.mean()), "off": float(np.abs(self.foretold - taken).mean())}


def _share(right: Doubles, among: Bools) -> dict[str, float | None]:
    def mean(weights: Doubles) -> float:
        return float(np.mean((right * among) @ weights / np.maximum(among @ weights, 1e-12)))

    return drawn(mean, right.shape[1], 0, APART).to_json()


def judges(
    outside: Sequence[str], encoder: Encoder, cache: Path, before: Sequence[str] = ()
) -> Callable[[Told], Judge]:
    """How a judge is fitted on experts' examples, on what nobody should answer, and on what was asked `before`."""
    learnt = [unscored(vectors_of(before, encoder, cache), surfaces(before))] if before else []
    return lambda told: Lessons.of(told, outside, encoder, cache).fit(learnt)


def add(
    groups: Sequence[tuple[Newcomer, ...]],
    fit: Callable[[Told], Judge],
    asked: Asked,
    answered: Answered,
    seeds: Sequence[int],
    draw: Draw = Newcomer.few,
) -> Added:
    """Add every group of newcomers, most often one, to its others: with few examples, drawn by every seed, and all."""
    known: dict[tuple[str, ...], Bools] = {}
    rows = []
    for group in groups:
        others = group[0].others
        if tuple(others) not in known:
            known[tuple(others)] = answered(fit(others))
        own = np.isin(asked.labels, [each.label for each in group])
        theirs = np.isin(asked.labels, [label for label, _ in others.values()])
        few = [{each.expert: (each.label, draw(each, seed)) for each in group} for seed in seeds]
        fitted = [fit({**others, **each}) for each in few]
        at_once = np.mean([answered(judge) for judge in fitted], axis=0)
        foretold = np.mean(
            [
                left_out_sent(judge, {id: label for id, (label, _) in each.items()})
                for judge, each in zip(fitted, few, strict=True)
            ]
        )
        later = answered(fit({**others, **{each.expert: (each.label, each.examples) for each in group}}))
        rows.append((own, theirs, known[tuple(others)].astype(float), at_once, later.astype(float), foretold))
        print(f"{_named(group)}: takes {at_once[0, own].mean():.3f}, later {later[0, own].mean():.3f}", flush=True)
    return Added(*(np.stack(part) for part in zip(*rows, strict=True)))


def _named(group: tuple[Newcomer, ...]) -> str:
    return " + ".join(each.expert for each in group)


def told(found: Added, groups: Sequence[tuple[Newcomer, ...]]) -> dict[str, Any]:
    """The figures of all groups of newcomers together, and of each; and how many requests the others have."""
    apart = {_named(group): found.figures(slice(at, at + 1)) for at, group in enumerate(groups)}
    foretold = {name: float(share) for name, share in zip(apart, found.foretold, strict=True)}
    return {
        "requests": int(found.theirs.any(axis=0).sum()),
        "all": found.figures(),
        "newcomers": apart,
        "foretold": {**found.forecast(), "newcomers": foretold},
    }


@dataclass(frozen=True)
class Case:
    """Who is added, most often one at a time, how judges are fitted, and who is right about which requests."""

    groups: Sequence[tuple[Newcomer, ...]]
    fit: Callable[[Told], Judge]
    asked: tuple[Asked, Answered]
    draw: Draw = Newcomer.few

    def measured(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Its figures, of all groups together and of each."""
        return told(add(self.groups, self.fit, *self.asked, seeds, self.draw), self.groups)


def cases(data: Path, registry: Registry) -> dict[str, Case]:
    """All that the record tells, by name; what is read and encoded is read once."""
    encoder = Encoder.of(registry.encoder)
    strangers, of_strangers, before = strangers_added(registry, data)
    intents, of_intents = intents_added(data / "clinc150.jsonl.gz")
    owned, of_owners = owners_added(registry)
    grown, outside, test = joined(registry, strangers), outside_of(registry), ("test",)
    new, known = singly(strangers), singly(experts_added(registry))

    def fit(seen: Sequence[str] = ()) -> Callable[[Told], Judge]:
        return judges(outside, encoder, CACHE, seen)

    def asked_of_intents() -> tuple[Asked, Answered]:
        asked = Asked.of([(text,) for text, _ in of_intents], [label for _, label in of_intents], encoder, CACHE)
        return asked, answered_by_label(asked)

    of_new, of_known = (
        asked_of_registry(grown, encoder, CACHE, of_strangers),
        asked_of_registry(registry, encoder, CACHE),
    )
    new_test = asked_of_registry(grown, encoder, CACHE, of_strangers, test)
    known_test = asked_of_registry(registry, encoder, CACHE, (), test)
    of_owned = asked_of_registry(joined(registry, owned), encoder, CACHE, of_owners)
    return {
        "strangers": Case(new, fit(), of_new),
        "owners": Case(singly(owned), fit(), of_owned),
        "strangers_last": Case(singly(each_the_last(strangers)), fit(), of_new),
        "strangers_used": Case(new, fit(asked_before(before)), new_test),
        "strangers_together": Case(together(strangers, FEW), fit(), of_new),
        "registry": Case(known, fit(), of_known),
        "registry_used": Case(known, fit(asked_before()), known_test),
        "registry_chosen": Case(known, fit(), of_known, covering(encoder, CACHE)),
        "clinc150": Case(singly(intents), judges((), encoder, CACHE), asked_of_intents()),
    }


def singly(newcomers: Sequence[Newcomer]) -> list[tuple[Newcomer, ...]]:
    """Each newcomer in a group of its own."""
    return [(each,) for each in newcomers]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def added(
    data: Annotated[Path, typer.Option(help="The folder with the public data sets.")] = DATA,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the few examples.")] = 5,
    out: Annotated[Path, typer.Option(help="The file that the figures are written to.")] = RESULT,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure only this group again; may be repeated. The file keeps the others."),
    ] = None,
) -> None:
    """Measure what a domain added with few examples takes over at once, and what that costs the others.

    Example: python -m eval.added --data ../shared/data
    """
    for path in (data / name for name in PUBLIC):
        if not path.exists():
            raise WrongUsage(f"--data: there is no {path}. Remedy: {_DATA_REMEDY}")
    require_file("--out", out)
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    terms = {
        "encoder": Encoder.of(registry.encoder).fingerprint,
        "seeds": seeds,
        "added": ADDED,
        "together": FEW,
    }
    result = _record(out, terms, only) if only else {**origin(), **terms}
    for name, case in cases(data, registry).items():
        if only and name not in only:
            continue
        result[name] = case.measured(range(seeds)) | ({"measured": origin()} if only else {})
        for figure, said in result[name]["all"].items():
            print(f"{name}, {figure}: {said['value']:.4f} ({said['low']:.4f} to {said['high']:.4f})")
    write_there("--out", out, [json.dumps(result, indent=1).encode(), b"\n"])


def _record(path: Path, terms: dict[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """The record that some groups are measured anew of. Raises `WrongUsage` where it is none, or of other terms."""
    if unknown := [name for name in only if name not in ROWS]:
        raise WrongUsage(f"--only: no group is called {unknown[0]!r}. Remedy: one of {', '.join(ROWS)}")
    if not path.exists():
        raise WrongUsage(f"--only: there is no {path}. Remedy: measure all groups first, without --only")
    found: dict[str, Any] = json.loads(path.read_text())
    if other := [name for name, value in terms.items() if found.get(name) != value]:
        said = f"--only: {path} was made with another {other[0]}"
        raise WrongUsage(f"{said}. Remedy: measure all groups, without --only")
    return found


_DATA_REMEDY: Final = "name the folder of the public data, here or in SHOAL_EVAL_DATA"


def main() -> None:
    """Run it; what the user can mend ends in one clear line and exit code 1, wrong usage in 2."""
    try:
        app()
    except ShoalError as error:
        print(f"added: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, WrongUsage) else 1)


if __name__ == "__main__":
    main()
