"""Who is added to a judge, and with which examples: experts of a registry, domains new to it, intents among others."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from eval.samples import read_labelled
from experts.rows import read_rows
from experts.spec import OpenAISpec, Registry
from router.encode import Encoder
from router.learn.fit import examples_of
from router.learn.vectors import vectors_of

ADDED: Final = 20
"""Examples a domain is added with."""

PUBLIC: Final = ("snips_slots.jsonl.gz", "clinc150.jsonl.gz", "banking77.jsonl.gz")
"""Files of public data that newcomers and their requests come from."""

ROUNDS: Final = 30
"""Of k-means; more move nothing."""

THERE, NEW, TAUGHT = 50, 8, 40
"""Intents of clinc150 that are there, those added one at a time, and the examples of each."""

MOST: Final = 400
"""Examples that a domain new to the registry has in the end, about as many as an expert of it."""

BEFORE: Final = 30
"""Requests of each such domain that were asked before it was there, without anybody saying whose they are."""

OWNERS: Final = Path(__file__).parent / "data" / "owners.jsonl"
"""Domains as their owners would add them: the examples they give, and what is asked then."""

STRANGE: Final = 10
"""Intents of clinc150 that are added to the registry, drawn of all but `CHAT`."""

CHAT: Final = frozenset((
    "are_you_a_bot", "calculator", "calories", "cancel", "definition", "do_you_have_pets", "fun_fact", "goodbye",
    "greeting", "how_old_are_you", "maybe", "meaning_of_life", "measurement_conversion", "no", "repeat", "spelling",
    "synonyms", "tell_joke", "thank_you", "translate", "what_are_your_hobbies", "what_can_i_ask_you",
    "what_is_your_name", "where_are_you_from", "who_do_you_work_for", "who_made_you", "yes",
))  # fmt: skip
"""Intents of clinc150 that a small generalist answers: small talk, words, numbers."""

Told = Mapping[str, tuple[str, list[str]]]
"""By expert, its label and its examples."""
Row = tuple[str, str, str]
"""Domain, split and text."""


@dataclass(frozen=True)
class Newcomer:
    """An expert to be added to others, with its label and all its examples."""

    expert: str
    label: str
    examples: list[str]
    others: Told

    def few(self, seed: int) -> list[str]:
        """So many of its examples as it is added with."""
        order = np.random.default_rng(seed).permutation(len(self.examples))
        return [self.examples[at] for at in order[:ADDED]]


Draw = Callable[[Newcomer, int], list[str]]
"""The few examples that a newcomer is added with, by a seed."""


def covering(encoder: Encoder, cache: Path) -> Draw:
    """One example of each kind: the middles of as many clusters (k-means on the sphere, from seeded examples)."""

    def draw(newcomer: Newcomer, seed: int) -> list[str]:
        vectors = vectors_of(newcomer.examples, encoder, cache)
        middles = vectors[np.random.default_rng(seed).permutation(len(vectors))[:ADDED]]
        for _ in range(ROUNDS):
            nearest = (vectors @ middles.T).argmax(axis=1)
            totals = np.stack([vectors[nearest == at].sum(axis=0) for at in range(len(middles))])
            middles = totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), 1e-9)
        return [newcomer.examples[at] for at in np.unique((vectors @ middles.T).argmax(axis=0))]

    return draw


def experts_added(registry: Registry) -> list[Newcomer]:
    """Every expert of a registry in turn, to the others."""
    every = there(registry)
    return [
        Newcomer(expert, label, examples, {id: told for id, told in every.items() if id != expert})
        for expert, (label, examples) in every.items()
    ]


def there(registry: Registry) -> Told:
    """The experts of a registry, with all their examples."""
    return {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}


def intents_added(path: Path) -> tuple[list[Newcomer], list[tuple[str, str]]]:
    """Intents of a labelled file, each to the same others, and the requests of all of them with their labels."""
    rows = _by_domain(_labelled(path))
    labels = np.random.default_rng(0).permutation(sorted(rows))[: THERE + NEW].tolist()
    taught = {label: (label, rows[label]["train"][:TAUGHT]) for label in labels}
    others = {label: taught[label] for label in labels[:THERE]}
    newcomers = [Newcomer(label, *taught[label], others) for label in labels[THERE:]]
    return newcomers, [(text, label) for label in labels for text in rows[label]["test"]]


def strangers_added(registry: Registry, data: Path) -> tuple[list[Newcomer], list[tuple[str, str]], list[str]]:
    """Domains that no expert of a registry knows, each to all of it, and their test requests with their labels.

    And validation requests of all of them: what was asked before any of them was there.
    Of public data: what a voice assistant is asked for (SNIPS, seven), single intents (CLINC150), and a bank's
    customers (BANKING77, one domain), who are near our support tickets.
    """
    intents = _by_domain(_labelled(data / "clinc150.jsonl.gz"))
    drawn = np.random.default_rng(0).permutation(sorted(intents.keys() - CHAT))[:STRANGE].tolist()
    every = _by_domain(_snips(data / "snips_slots.jsonl.gz")) | {name: intents[name] for name in drawn}
    every |= _by_domain(("bank", split, text) for _, split, text in _labelled(data / "banking77.jsonl.gz"))
    others, newcomers, asked, before = there(registry), [], [], list[str]()
    for name, rows in every.items():
        label, order = _spoken(name), np.random.default_rng(0).permutation(len(rows["train"]))[:MOST]
        newcomers.append(Newcomer(label, label, [rows["train"][at] for at in order], others))
        asked += [(text, label) for text in rows["test"]]
        before += rows["validation"][:BEFORE]
    return newcomers, asked, before


def owners_added(registry: Registry) -> tuple[list[Newcomer], list[tuple[str, str]]]:
    """Domains as owners would add them to all of a registry, and their requests with their labels.

    What is added is all that each has: nobody drew it from more.
    """
    every = _by_domain(_labelled(OWNERS))
    others = there(registry)
    newcomers = [Newcomer(label, label, rows.pop("train"), others) for label, rows in every.items()]
    return newcomers, [(text, label) for label, rows in every.items() for asked in rows.values() for text in asked]


def joined(registry: Registry, newcomers: Sequence[Newcomer]) -> Registry:
    """A registry that has the newcomers too, each a model of 3B behind a server."""
    said = {"kind": "openai", "url": "http://127.0.0.1:9000/v1", "params_b": 3, "context": 8192}
    named = [
        {"id": each.expert, "domain": each.label, "description": each.label, "model": each.expert} for each in newcomers
    ]
    added = [OpenAISpec.model_validate(each | said) for each in named]
    return registry.model_copy(update={"experts": (*registry.experts, *added)})


def _labelled(path: Path) -> Iterator[Row]:
    return ((row.label, row.split, row.input) for row in read_labelled(path) if row.label is not None)


def _snips(path: Path) -> Iterator[Row]:
    rows = read_rows(path, {"input": str, "task": str, "split": str})
    return ((row["task"], row["split"], row["input"]) for row in rows)


def _by_domain(rows: Iterator[Row]) -> dict[str, dict[str, list[str]]]:
    """By domain and split, its texts."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for domain, split, text in rows:
        found[domain][split].append(text)
    return {domain: dict(splits) for domain, splits in found.items()}


def _spoken(name: str) -> str:
    """An id as somebody would write it: `book-restaurant` for `BookRestaurant`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", name).lower()


def together(newcomers: Sequence[Newcomer], count: int) -> list[tuple[Newcomer, ...]]:
    """So many newcomers at a time, drawn from all; each is in one group, those left over are in none."""
    order = np.random.default_rng(0).permutation(len(newcomers))
    full = len(order) // count * count
    return [tuple(newcomers[at] for at in group) for group in order[:full].reshape(-1, count)]


def each_the_last(newcomers: Sequence[Newcomer]) -> list[Newcomer]:
    """Every newcomer once more, added when all the rest are there already, with all their examples."""
    every = {each.expert: (each.label, each.examples) for each in newcomers}

    def rest(last: Newcomer) -> Told:
        return {expert: told for expert, told in every.items() if expert != last.expert}

    return [replace(last, others={**last.others, **rest(last)}) for last in newcomers]
