"""What an added domain takes over and costs the others, and what unscored requests bring, for the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from eval.report.words import Record
from eval.wording import commit_text

MOST_COST: Final = 0.003
"""The share of right decisions that an expert added with few examples may cost the others."""

TITLE: Final = "Adding a domain with few examples, and learning from unscored requests"

TRAFFIC: Final = "-traffic"
"""Ends the id of a run that is another once more, with requests that nobody scored."""

_HERE: Final = {
    "strangers": "a domain of public data, new to the default registry",
    "strangers_used": "the same, after learning from unscored requests (test rows only)",
    "strangers_together": "several such domains at once",
    "strangers_last": "each such domain as the last one, beside the others with all their examples",
    "owners": "a domain new to the default registry, as its owner would add it; it has no more examples",
    "registry": "an expert of the default registry, removed and added again",
    "registry_used": "added again after learning from unscored requests (test rows only)",
    "registry_chosen": "added again with one example of each kind of request",
    "clinc150": "an intent of CLINC150 beside fifty others",
}

_COLUMNS: Final = {
    "taken": "of its requests, sent to it at once",
    "taken_later": "with all its examples",
    "cost": "cost to the others",
    "likeliest_cost": "cost if the likeliest domain always answered",
}


def newcomers(added: Mapping[str, Any] | None, records: Sequence[Record]) -> Iterator[str]:
    """A table of `eval/results/added.json`, and a sentence for every run with unscored requests."""
    yield from _table(added) if added is not None else ()
    yield from (f"<p>{escape(each)}</p>" for each in _traffic(records))


def _table(added: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>Each is added with {added['added']} examples. Shares are in % of its own requests. A cost is by how "
    yield "many points fewer of the others' requests are decided right. In brackets: 95 % intervals. "
    yield f"The target is a cost of at most {100 * MOST_COST:.2f} points.</p>"
    heads = "".join(f'<th class="number">{escape(each)}</th>' for each in _COLUMNS.values())
    yield '<div class="scroll"><table class="cards added"><thead><tr><th>added</th>'
    yield f"{heads}<th></th></tr></thead><tbody>"
    for name, title in _HERE.items():
        if name in added:
            yield _row(title, added[name]["all"])
    yield "</tbody></table></div>"
    said = f"python -m eval.added, {added['date'][:10]}, {commit_text(added)}, {added['seeds']} draws of the examples."
    yield f'<p class="faint">{escape(said)}</p>'


def _row(title: str, found: Mapping[str, Mapping[str, float]]) -> str:
    cells = "".join(
        f'<td class="number" data-label="{escape(said)}">{_interval(found[name])}</td>'
        for name, said in _COLUMNS.items()
    )
    return f"<tr><td>{escape(title)}</td>{cells}<td>{_verdict(found['cost'])}</td></tr>"


def _verdict(cost: Mapping[str, float]) -> str:
    """Whether what it costs the others is within `MOST_COST`, where its interval decides that."""
    if cost["high"] <= MOST_COST:
        return '<span class="good">target reached</span>'
    if cost["low"] > MOST_COST:
        return '<span class="bad">target missed</span>'
    return '<span class="faint">undecided</span>'


def _interval(share: Mapping[str, float]) -> str:
    value, low, high = (100 * share[end] for end in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _traffic(records: Sequence[Record]) -> Iterator[str]:
    """By how much unscored requests change the figures, with the same draws of examples."""
    plain = {record["id"]: record for record in records}
    for record in records:
        without = plain.get(str(record["id"]).removesuffix(TRAFFIC))
        if without is None or without is record or without["seeds"] != record["seeds"]:
            continue
        changes = [
            _change(figure, without["figures"][name])
            for name, figure in record["figures"].items()
            if name in without["figures"]
        ]
        yield f"{record['title']}, compared with {without['title']}: {'; '.join(changes)}."


def _change(figure: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    shares = figure["unit"] in ("%", "points")
    digits, scale, unit = (2, 100, " points") if shares else (4, 1, f" {figure['unit']}" * bool(figure["unit"]))
    each = [scale * (now - then) for now, then in zip(figure["seeds"], without["seeds"], strict=True)]
    mean = scale * (figure["value"] - without["value"])
    return f"{figure['title']} {mean:+.{digits}f}{unit} (by seed {min(each):+.{digits}f} to {max(each):+.{digits}f})"
