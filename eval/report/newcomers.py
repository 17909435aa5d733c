"""What an added domain takes over and costs the others, and what unscored requests bring, for the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from eval.added_table import COST, cost_figure
from eval.report.table import END, opened
from eval.report.words import VERDICTS, Record
from eval.wording import commit_text, target_text, value_text

TITLE: Final = "Adding a domain with few examples, and learning from unscored requests"

TRAFFIC: Final = "-traffic"
"""Ends the id of a run that is another once more, with requests that nobody scored."""

_HERE: Final = {
    "strangers": "a domain of public data, new to the default registry",
    "strangers_used": "a domain of public data, after learning from unscored requests (test rows only)",
    "strangers_together": "several domains of public data at once",
    "strangers_last": "each such domain as the last one, beside the others with all their examples",
    "owners": "a domain new to the default registry, as its owner would add it; it has no more examples",
    "registry": "an expert of the default registry, removed and added again",
    "registry_used": (
        "an expert of the default registry, added again after learning from unscored requests (test rows only)"
    ),
    "registry_chosen": "an expert of the default registry, added again with one example of each kind of request",
    "clinc150": "an intent of CLINC150 beside fifty others",
}

_COLUMNS: Final = {
    "taken": "of its requests, sent to it at once",
    "taken_later": "with all its examples",
    "cost": COST.title,
    "likeliest_cost": "cost if the likeliest domain always answered",
}


def newcomers(added: Mapping[str, Any] | None, records: Sequence[Record]) -> Iterator[str]:
    """A table of `eval/results/added.json`, and a sentence for every run with unscored requests."""
    yield from _table(added) if added is not None else ()
    yield from (f"<p>{escape(each)}</p>" for each in _traffic(records))


def costs(added: Mapping[str, Any] | None) -> list[Record]:
    """The figures of `eval/results/added.json` that have a target, a record for each row of the table."""
    if added is None:
        return []
    told = {title: cost_figure(added[name]["all"]["cost"]) for name, title in _HERE.items() if name in added}
    return [
        {"title": f"added with {added['added']} examples: {title}", "figures": {"cost": figure}}
        for title, figure in told.items()
    ]


def _table(added: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>Each is added with {added['added']} examples. Shares are in % of its own requests. A cost is by how "
    yield "many points fewer of the others' requests are decided right. In brackets: 95 % intervals. "
    yield f"The target is a cost of {target_text(COST.model_dump(), 'reach')}.</p>"
    heads = "".join(f'<th class="number">{escape(each)}</th>' for each in _COLUMNS.values())
    yield opened("What is added, and what that costs the others", f"<th>added</th>{heads}<th></th>", "cards added")
    for name, title in _HERE.items():
        if name in added:
            yield _row(title, added[name]["all"])
    yield END
    said = f"python -m eval.added, {added['date'][:10]}, {commit_text(added)}, {added['seeds']} draws of the examples."
    yield f'<p class="faint">{escape(said)}</p>'


def _row(title: str, found: Mapping[str, Mapping[str, float]]) -> str:
    cells = "".join(
        f'<td class="number" data-label="{escape(said)}">{_interval(name, found[name])}</td>'
        for name, said in _COLUMNS.items()
    )
    return f"<tr><td>{escape(title)}</td>{cells}<td>{VERDICTS[cost_figure(found['cost'])['reached']]}</td></tr>"


def _interval(name: str, share: Mapping[str, float]) -> str:
    figure = cost_figure(share) if name == "cost" else {**share, "unit": "points"}
    low, high = (100 * share[end] for end in ("low", "high"))
    return f"{value_text(figure, bare=True)} ({low:.2f} to {high:.2f})"


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
        yield f"From {without['title']} to {record['title']}: {'; '.join(changes)}."


def _change(figure: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    shares = figure["unit"] in ("%", "points")
    digits, scale, unit = (2, 100, " points") if shares else (4, 1, f" {figure['unit']}" * bool(figure["unit"]))
    each = [scale * (now - then) for now, then in zip(figure["seeds"], without["seeds"], strict=True)]
    mean = scale * (figure["value"] - without["value"])
    return f"{figure['title']} {mean:+.{digits}f}{unit} (by seed {min(each):+.{digits}f} to {max(each):+.{digits}f})"
