"""What an expert takes over once it is added, and what requests bring that nobody scored, for the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from eval.report.words import Record
from eval.wording import commit_text

MOST_COST: Final = 0.003
"""The share of right decisions that an expert added with few examples may cost the others."""

TITLE: Final = "What a new domain takes over, and what requests bring that nobody scored"

TRAFFIC: Final = "-traffic"
"""Ends the id of a run that is another once more, with requests that nobody scored."""

_HERE: Final = {
    "strangers": "a domain that no expert of the default registry knows",
    "strangers_used": "the same, where requests that nobody scored had been learnt from (test rows alone)",
    "strangers_together": "several such domains together",
    "strangers_last": "each such domain as the last of them, the rest there before it with all their examples",
    "owners": "a domain that none knows, as its owner would add it: all its examples are those few",
    "registry": "an expert of the default registry, taken out and put back",
    "registry_used": "put back where requests that nobody scored had been learnt from (test rows alone)",
    "registry_chosen": "put back with one example of each kind of request",
    "clinc150": "an intent of CLINC150 beside fifty others",
}

_COLUMNS: Final = {
    "taken": "is sent of its own at once",
    "taken_later": "with all its examples",
    "cost": "costs the others",
    "likeliest_cost": "by the likeliest domain alone",
}


def newcomers(added: Mapping[str, Any] | None, records: Sequence[Record]) -> Iterator[str]:
    """A table of `eval/results/added.json`, and a sentence for every run with requests that nobody scored."""
    yield from _table(added) if added is not None else ()
    yield from (f"<p>{escape(each)}</p>" for each in _traffic(records))


def _table(added: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>Added with {added['added']} examples, in % of its requests and points of right decisions of the others, "
    yield f"with 95 % intervals. At most {100 * MOST_COST:.2f} points was asked.</p>"
    heads = "".join(f'<th class="number">{escape(each)}</th>' for each in _COLUMNS.values())
    yield '<div class="scroll"><table class="cards added"><thead><tr><th>what is added</th>'
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
        return '<span class="good">costs no more</span>'
    if cost["low"] > MOST_COST:
        return '<span class="bad">costs more</span>'
    return '<span class="faint">nothing sure</span>'


def _interval(share: Mapping[str, float]) -> str:
    value, low, high = (100 * share[end] for end in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _traffic(records: Sequence[Record]) -> Iterator[str]:
    """By how much figures change with requests that nobody scored, of the same draws of examples."""
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
        yield f"{record['title']} ({without['title']} otherwise): {'; '.join(changes)}."


def _change(figure: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    shares = figure["unit"] in ("%", "points")
    digits, scale, unit = (2, 100, " points") if shares else (4, 1, f" {figure['unit']}" * bool(figure["unit"]))
    each = [scale * (now - then) for now, then in zip(figure["seeds"], without["seeds"], strict=True)]
    mean = scale * (figure["value"] - without["value"])
    return f"{figure['title']} {mean:+.{digits}f}{unit} (by seed {min(each):+.{digits}f} to {max(each):+.{digits}f})"
