"""What `shoal eval requests` shows to a person."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from shoal.tables import show_table, table_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHARES: Final = {
    "handled": ("sent\nright", "go to the expert that should answer, or to the fallback where none should"),
    "accuracy": ("right\nexpert", "of those that an expert should answer, go to it"),
    "wrong_expert": ("wrong\nexpert", "of those that an expert should answer, go to another one"),
    "null_recall": ("rightly\nnone", "of those that no expert should answer, go to the fallback"),
    "kept_small": ("kept\nsmall", "are answered by an expert other than the fallback"),
    "wrong_small": ("wrongly\nsmall", "are answered by such an expert, which should not have"),
}
"""Of each figure the head of its column, and what it is a share of."""
LIKELIEST: Final = "of those that an expert should answer, look most like its domain, whatever the thresholds"
SEPARATION: Final = "AUROC: how well familiarity tells those that an expert should answer from those that none should"
TEXT_CHARACTERS: Final = 100
"""Of a request's text, what is shown."""


def show_requests(found: Mapping[str, Any]) -> None:
    """Print every figure with what it means, tables by kind and label, who was mistaken for whom, every failure."""
    console = show_table(_figures(found))
    for line in _lines(found):
        console.print(line, highlight=False, style="dim")
    for title, groups in (("kind", found["by_kind"]), ("should answer", found["by_label"])):
        console.print()
        show_table(_groups(title, groups))
    if found["failures"]:
        console.print()
        show_table(_mistaken(found["confusion"]))
        _show_failures(found, console)


def _figures(found: Mapping[str, Any]) -> Table:
    table = table_of("figure", "value", f"what: of {found['n']:,} requests under the policy {found['policy']}")
    for name, (head, meaning) in SHARES.items():
        table.add_row(head.replace("\n", " "), _percent(found[name]), meaning)
    table.add_row("likeliest right", _percent(found["likeliest_accuracy"]), LIKELIEST)
    separation = found["known_auroc"]
    table.add_row("telling apart", "-" if math.isnan(separation) else f"{separation:.3f}", SEPARATION)
    return table


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from eval.requests import FALLBACK
    from router.promises.drift import WINDOW

    labels = found["by_label"]
    if FALLBACK not in labels:
        yield "-: no request of these is one that no expert should answer"
    elif len(labels) == 1:
        yield "-: every request of these is one that no expert should answer"
    if found["edition"]:
        yield f"edition {found['edition']} of what was learnt serves"
    if found["refused_windows"] is not None:
        share = _percent(found["refused_windows"])
        yield f"of windows of {WINDOW} of these requests {share} are unlike what was promised on, and refused"
    if found["refused"]:
        yield f"the policy is refused, so the fallback answers everything: {found['refused']}"


def _groups(title: str, groups: Mapping[str, Mapping[str, Any]]) -> Table:
    table = table_of(title, "n", *(head for head, _ in SHARES.values()))
    for name, each in groups.items():
        table.add_row(name, f"{each['n']:,}", *(_percent(each[key]) for key in SHARES))
    return table


def _mistaken(confusion: Mapping[str, Mapping[str, int]]) -> Table:
    """Who was sent what another should answer, what happened most often first."""
    table = table_of("should answer", "answered", "requests", "of")
    pairs = [(label, who, count) for label, row in confusion.items() for who, count in row.items() if who != label]
    for label, who, count in sorted(pairs, key=lambda pair: -pair[2]):
        table.add_row(label, who, f"{count:,}", f"{sum(confusion[label].values()):,}")
    return table


def _show_failures(found: Mapping[str, Any], console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for each in found["failures"]:
        console.print()
        console.print(Text(_told(each)))
        text = " ".join(each["text"].split())
        cut = text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"
        console.print(Padding(Text(cut, "dim"), (0, 0, 0, 2)))


def _told(failure: Mapping[str, Any]) -> str:
    from eval.requests import FALLBACK

    should, went = failure["label"] or FALLBACK, failure["choice"] or FALLBACK
    likeliest = f"{failure['likeliest']} {failure['probability']:.2f}" if failure["likeliest"] else "nobody"
    judged = f"likeliest {likeliest}, familiar {failure['known']:.3f}"
    return f"{failure['id']}, {failure['kind']}: {should}'s, went to {went}; {judged}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
