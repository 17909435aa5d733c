"""What is to be said of a valid registry that will hardly serve as meant: in the log, by a check, to who adds to it.

Nothing here needs an encoder, so that a check is quick. What takes one is `router.learn.newcomer`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import Final

from experts.labels import labelled_rows
from experts.reading.overlay import MADE, VARIABLES
from experts.spec import LabelsSpec, Registry
from router.learn.editions import Editions
from router.learn.effects import DOUBT
from router.learn.fit import examples_of, outside_of
from router.learn.outcome_rows import left_out, outcome_rows
from router.learn.preamble import preamble
from router.learn.repeats import FEWEST, PRAISE, few_told

Examples = Mapping[str, list[str]]
"""By the id of their expert."""

Scores = Mapping[str, list[float]]
"""What the registry's outcomes say of each expert, by its id."""

ENOUGH: Final = int(DOUBT)
"""Scores of an expert from which on they say more of it than its examples, or than having none."""

SHOWN: Final = 60
"""Characters of an example that are shown in a line."""

PAIRS: Final = 3
"""Pairs with examples in common that are named, those with the most first."""

_OUTSIDE: Final = "`outside`"
"""Stands for the file of requests that no expert should answer, beside the experts' ids, which have no such letters."""


def cautions(registry: Registry) -> list[str]:
    """Everything that is to be said. Raises `RegistryError` where a file of rows cannot be read."""
    texts, scores = examples_by_id(registry), scores_by_id(registry)
    begun = [preamble(f"{name}: its examples", own) for name, own in texts.items()]
    found = [*_few(registry, texts, scores), *_ambiguous(registry), *shared(registry, texts), *filter(None, begun)]
    found += [*filter(None, [blind(registry, texts)]), *_unproved(registry, texts, scores)]
    if registry.outcomes is not None:
        left = left_out(registry.outcomes, [spec.id for spec in registry.experts])
        alike = preamble(str(registry.outcomes), [row["input"] for row in outcome_rows(registry.outcomes)])
        found += filter(None, (left, alike))
    return found


def examples_by_id(registry: Registry) -> Examples:
    """Every expert's, read once. Raises `RegistryError`."""
    return {spec.id: examples_of(spec) for spec in registry.experts}


def scores_by_id(registry: Registry) -> Scores:
    """Every expert's in the outcomes that the registry names. Raises `RegistryError`."""
    found: dict[str, list[float]] = {spec.id: [] for spec in registry.experts}
    for row in outcome_rows(registry.outcomes) if registry.outcomes is not None else ():
        for name in found.keys() & row["outcomes"].keys():
            found[name].append(row["outcomes"][name]["score"])
    return found


def enough(registry: Registry, label: str, scores: Scores) -> bool:
    """Whether scores tell of all experts of a domain, so that its examples may be few."""
    return all(len(scores[spec.id]) >= ENOUGH for spec in registry.experts if spec.label == label)


def foretold(registry: Registry, expert: str) -> bool:
    """Whether examples say what an expert will be sent, and no scores tell more. Raises `RegistryError`."""
    spec = registry.expert(expert)
    return bool(examples_of(spec)) and not enough(registry, spec.label, scores_by_id(registry))


def unproved(scores: list[float]) -> str | None:
    """What is to be said of an expert that has no examples and these scores; None where that is nothing."""
    if not scores:
        return None
    count = f"{len(scores)} score{'s' * (len(scores) != 1)}"
    if len(scores) < ENOUGH:
        told = f"no examples and {count}: with fewer than {ENOUGH} it is believed at most half of what they say"
        return f"{told}. Remedy: more outcomes, of requests that it answers poorly too, or examples"
    if min(scores) < PRAISE:
        return None
    told = f"no examples and {count}, none below {PRAISE:g}: nothing tells which requests it cannot answer, so that it"
    return f"{told} will be sent all kinds. Remedy: outcomes of requests that it answers poorly, or examples"


def unheard(editions: Editions, number: int, experts: Collection[str]) -> str | None:
    """What is to be said of an edition that scores experts which there are no more; None where it scores no such.

    Raises `EditionError`.
    """
    if not (gone := [name for name in editions.scored(number) if name not in experts]):
        return None
    remedy = f"{_known_again(gone)}; else shoal learn apply, which learns without them"
    return _nobodys(f"edition {number}, learnt from use, has scores of {', '.join(gone)}", remedy)


def unheard_of(scores: Mapping[str, int], experts: Collection[str]) -> str | None:
    """The same of a ledger with so many scores of each expert."""
    gone = {name: count for name, count in scores.items() if name not in experts}
    if not gone:
        return None
    told = ", ".join(f"{count:,} of {name}" for name, count in gone.items())
    return _nobodys(f"the ledger has scores that nothing is learnt from, {told}", _known_again(gone))


def _nobodys(told: str, remedy: str) -> str:
    return f"{told}, and the registry has no such expert: they are left out. Remedy: {remedy}"


def _known_again(gone: Collection[str]) -> str:
    """How the registry gets experts back that it lacks."""
    renamed = "if it was renamed, give it its old id"
    if MADE not in gone:
        return renamed
    variables = f"{VARIABLES['url']}, {VARIABLES['model']} and the like"
    return f"the expert {MADE} is made by {variables}: set them here as for the server; {renamed}"


def blind(registry: Registry, texts: Examples) -> str | None:
    """What is to be said where even the strangest request is taken for a known one.

    A p-value over n examples is 1 / (n + 1) or more, so that of fewer none is below what the policy refuses.
    """
    refused = registry.policies[registry.default_policy].out_of_domain
    told = sum(map(len, texts.values()))
    if registry.outside is not None or not told or not refused or 1 / (told + 1) < refused:
        return None
    return (
        f"{told} example{'s' * (told != 1)} in all {'are' if told != 1 else 'is'} too few to tell a request that is "
        f"like none of them: with out_of_domain {refused:g} that takes {int(1 / refused)}, and until then such "
        "requests go to an expert too. Remedy: more examples, or `outside: FILE` of requests that the fallback should "
        "answer"
    )


def shared(registry: Registry, texts: Examples, expert: str | None = None) -> Iterator[str]:
    """What is to be said of examples that two domains have in common, or `expert`'s own has with another.

    A request is of one domain: two that claim it have about half of its probability each, which few policies take. Case
    and spacing aside, which our encoder does not read.
    """
    owners: dict[str, dict[str, tuple[str, str]]] = {}
    told = [(spec.label, spec.id, texts[spec.id]) for spec in registry.experts]
    for label, name, own in [*told, (_OUTSIDE, _OUTSIDE, outside_of(registry))]:
        for text in own:
            owners.setdefault(" ".join(text.casefold().split()), {}).setdefault(label, (name, text))
    pairs: dict[tuple[str, str], list[str]] = {}
    for each in owners.values():
        for (one, text), (other, _) in combinations(each.values(), 2):
            pairs.setdefault((one, other), []).append(text)
    domain = None if expert is None else registry.expert(expert).label
    theirs = {spec.id for spec in registry.experts if domain in (None, spec.label)}
    found = sorted(((pair, both) for pair, both in pairs.items() if theirs & set(pair)), key=lambda p: -len(p[1]))
    for (one, other), both in found[:PAIRS]:
        yield _in_common(one, other, both)
    if found[PAIRS:]:
        yield f"{len(found) - PAIRS} more pairs of experts have examples in common. Remedy: as above"


def _in_common(one: str, other: str, texts: list[str]) -> str:
    example, named, these = "example", repr(_cut(texts[0])), "it"
    if len(texts) > 1:
        example, named, these = "examples", f"such as {named}", "these"
    told = f"{one} and {other} have {len(texts)} {example} in common ({named})"
    if other == _OUTSIDE:
        return f"{told}, so {one} is hardly sent requests like {these}. Remedy: leave them out of one of the two"
    return (
        f"{told}, so of requests like {these} each has about half of the probability, mostly too little to be chosen. "
        "Remedy: leave them out of one of the two, or give both the same `domain`, so that the smaller answers"
    )


def _ambiguous(registry: Registry) -> Iterator[str]:
    """What is to be said of requests to which an expert of labels was told two."""
    for spec in registry.experts:
        if not isinstance(spec, LabelsSpec):
            continue
        labels: dict[str, list[str]] = {}
        for row in labelled_rows(spec.labels):
            if row["label"] not in (told := labels.setdefault(row["input"], [])):
                told.append(row["label"])
        if both := {text: told for text, told in labels.items() if len(told) > 1}:
            text, told = next(iter(both.items()))
            inputs = f"{len(both)} input{'s' * (len(both) != 1)}"
            yield (
                f"{spec.id}: {spec.labels.name} gives {inputs} more than one label, such as {_cut(text)!r} "
                f"({', '.join(told)}), and either may be answered. Remedy: leave the right one"
            )


def _unproved(registry: Registry, texts: Examples, scores: Scores) -> Iterator[str]:
    """What is to be said of experts, the fallback aside, that only outcomes tell of."""
    told = {spec.label for spec in registry.experts if texts[spec.id]}
    for spec in registry.experts:
        if spec.label not in told and spec.id != registry.fallback and (said := unproved(scores[spec.id])):
            yield f"{spec.id}: {said}"


def _few(registry: Registry, texts: Examples, scores: Scores) -> Iterator[str]:
    """What is to be said of domains whose examples are too few, whatever they say, and whose scores are too."""
    for label in dict.fromkeys(spec.label for spec in registry.experts):
        theirs = [spec for spec in registry.experts if spec.label == label]
        told = len({text for spec in theirs for text in texts[spec.id]})
        if 0 < told < FEWEST and not enough(registry, label, scores):
            yield f"{theirs[0].id}: {few_told(told, told)}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
