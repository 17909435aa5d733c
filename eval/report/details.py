"""The tables below the fold: ablation, baselines, groups, classes, failures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from eval.report.plots import COSTS
from eval.report.table import END, opened
from eval.report.words import Record, parts, places

WORST: Final = 25
"""Classes shown, those with the lowest recall first."""


def ablation(records: Sequence[Record]) -> Iterator[str]:
    """In a sentence which parts of the judge help, then a table: a row a part, by what it does."""
    told = parts(records)
    if not told:
        yield '<p class="faint">Not measured in this run.</p>'
        return
    yield f"<p>{escape(places(told))}</p>"
    yield _head("What each part of the judge is worth", ["part", *_EARNS.values()], kind="cards parts")
    for part in told:
        cells = "".join(
            f'<td data-label="{title}">{_lines(part.told[earns], folded=earns == "nothing sure")}</td>'
            for earns, title in _EARNS.items()
        )
        means = f'<p class="faint">of {part.judge}: {escape(part.means)}</p>'
        yield f"<tr><th>{escape(part.said)}{means}</th>{cells}</tr>"
    yield END


_EARNS: Final = {"yes": "helps", "harms": "harms", "nothing sure": "no certain effect"}


def _lines(told: Sequence[str], *, folded: bool) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in told)
    count = f"{len(told)} figure{'s' * (len(told) > 1)}"
    return f"<details><summary>{count}</summary>{lines}</details>" if folded and told else lines


def baselines(records: Sequence[Record]) -> Iterator[str]:
    """Quality and cost of every baseline beside those of the judge where it goes by quality alone."""
    shown = [record for record in records if "baselines" in record["detail"]]
    if not shown:
        yield '<p class="faint">None: no set has the answers of every model.</p>'
        return
    yield (
        '<p class="faint">The judge\'s row is its choice for quality alone, whatever that costs. For what it reaches at'
        " the cost of another method, see “Quality at every cost” above.</p>"
    )
    for record in shown:
        detail = record["detail"]
        yield f"<h3>{escape(record['title'])}</h3>"
        heads = ["method", "quality", COSTS.get(detail["objective"], detail["objective"])]
        yield _head(f"Baselines: {record['title']}", heads, numbers=(1, 2))
        ways = {"the judge, for quality alone": detail["best_quality"], **detail["baselines"]}
        for name, each in ways.items():
            yield _row(name.replace("_", " "), [f"{100 * each['quality']:.1f} %", f"{each['cost']:.4g}"])
        yield END


def by_group(record: Record) -> Iterator[str]:
    """Figures by kind of request."""
    groups = record["detail"].get("by_kind")
    if not groups:
        return
    yield f"<details open><summary>{escape(record['title'])}: by kind</summary>"
    yield _head(
        f"{record['title']}: by kind",
        ["kind", "requests", "sent where they belong", "an expert should: sent to another", "none should: none did"],
        (1, 2, 3, 4),
    )
    for name, each in sorted(groups.items(), key=lambda item: item[1]["handled"]):
        shares = [_percent(each[key]) for key in ("handled", "wrong_expert", "null_recall")]
        yield _row(name, [str(each["n"]), *shares])
    yield END + "</details>"


def per_class(record: Record) -> Iterator[str]:
    """The labels with the lowest recall, and the pairs confused most often."""
    classes = record["detail"].get("per_class")
    if not classes:
        return
    worst = sorted(classes.items(), key=lambda item: (item[1]["recall"], item[0]))[:WORST]
    name = f"{record['title']}: the {len(worst)} labels with the lowest recall"
    yield f"<details><summary>{escape(name)}</summary>"
    yield _head(name, ["label", "rows", "recall", "precision"], (1, 2, 3))
    for name, each in worst:
        yield _row(name, [str(each["rows"]), _percent(each["recall"]), _percent(each["precision"])])
    yield END
    yield _head(f"{record['title']}: labels confused most often", ["label", "predicted as", "rows"], (2,))
    for each in record["detail"]["confusions"][:WORST]:
        yield _row(each["label"], [str(each["rows"])], each["said"])
    yield END + "</details>"


def failures(record: Record) -> Iterator[str]:
    """Every request of our own that went to the wrong place."""
    rows = record["failures"]
    if not rows:
        return
    yield f"<details><summary>{escape(record['title'])}: {len(rows)} requests</summary>"
    heads = ["id", "kind", "should answer", "chosen", "probability", "familiarity p", "request"]
    yield _head(f"{record['title']}: requests that went wrong", heads, (4, 5))
    for row in rows:
        texts = [row["id"], row["kind"], row["label"] or "none", row["choice"] or "fallback"]
        numbers = f'<td class="number">{row["probability"]:.2f}</td><td class="number">{row["known"]:.3f}</td>'
        text = row["text"] if len(row["text"]) <= 300 else row["text"][:300] + " ..."
        yield f'<tr>{_cells(texts)}{numbers}<td class="text">{escape(text)}</td></tr>'
    yield END + "</details>"


def _head(title: str, names: Sequence[str], numbers: Sequence[int] = (), kind: str = "") -> str:
    cells = "".join(
        f'<th class="number">{escape(name)}</th>' if at in numbers else f"<th>{escape(name)}</th>"
        for at, name in enumerate(names)
    )
    return opened(title, cells, kind)


def _row(name: str, numbers: Iterable[str], *others: str) -> str:
    return (
        f"<tr>{_cells([name, *others])}"
        + "".join(f'<td class="number">{escape(each)}</td>' for each in numbers)
        + "</tr>"
    )


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
