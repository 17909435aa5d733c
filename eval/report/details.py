"""The tables below the fold: ablation, baselines, groups, classes, failures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from eval.report.words import Record, earned, places

WORST: Final = 25
"""Classes shown, those recognised least first."""


def ablation(records: Sequence[Record]) -> Iterator[str]:
    """Where each part earns its place in a sentence, then a table for each set: a row a part, a column a figure."""
    shown = [record for record in records if record["ablation"]]
    if not shown:
        yield '<p class="faint">Not measured in this run.</p>'
        return
    yield "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in places(shown)) + "</ul>"
    for record in shown:
        figures = list(dict.fromkeys(name for part in record["ablation"].values() for name in part))
        titles = [record["figures"][name]["title"] for name in figures]
        yield f"<h3>{escape(record['title'])}</h3>"
        yield _head(["part left out", *titles], kind="cards")
        for part, found in record["ablation"].items():
            told = [
                (title, *earned(found[name], record["figures"][name]["unit"]))
                for name, title in zip(figures, titles, strict=True)
                if name in found
            ]
            cells = "".join(
                f'<td class="{sign}" data-label="{escape(title, quote=True)}">{escape(said)}</td>'
                for title, said, sign in told
            )
            yield f"<tr><th>{escape(part)}</th>{cells}</tr>"
        yield _END


def baselines(records: Sequence[Record]) -> Iterator[str]:
    """Quality and cost of every baseline beside the judge's best."""
    shown = [record for record in records if "baselines" in record["detail"]]
    if not shown:
        yield '<p class="faint">None: no set tells what each model would have answered.</p>'
    for record in shown:
        detail = record["detail"]
        yield f"<h3>{escape(record['title'])}</h3>"
        yield _head(["way", "quality", detail["objective"]], numbers=(1, 2))
        ways = {"the judge, at its best": detail["best_quality"], **detail["baselines"]}
        for name, each in ways.items():
            yield _row(name.replace("_", " "), [f"{100 * each['quality']:.1f} %", f"{each['cost']:.4g}"])
        yield _END


def by_group(record: Record) -> Iterator[str]:
    """Figures by kind of request."""
    groups = record["detail"].get("by_kind")
    if not groups:
        return
    yield f"<details open><summary>{escape(record['title'])}: by kind</summary>"
    yield _head(
        ["kind", "requests", "sent where they belong", "to a wrong expert", "none should, none did"], (1, 2, 3, 4)
    )
    for name, each in sorted(groups.items(), key=lambda item: item[1]["handled"]):
        shares = [_percent(each[key]) for key in ("handled", "wrong_expert", "null_recall")]
        yield _row(name, [str(each["n"]), *shares])
    yield _END + "</details>"


def per_class(record: Record) -> Iterator[str]:
    """The labels recognised least, and the pairs mistaken most."""
    classes = record["detail"].get("per_class")
    if not classes:
        return
    worst = sorted(classes.items(), key=lambda item: (item[1]["recall"], item[0]))[:WORST]
    yield f"<details><summary>{escape(record['title'])}: the {len(worst)} labels recognised least</summary>"
    yield _head(["label", "rows", "recall", "precision"], (1, 2, 3))
    for name, each in worst:
        yield _row(name, [str(each["rows"]), _percent(each["recall"]), _percent(each["precision"])])
    yield _END
    yield _head(["label", "taken for", "rows"], (2,))
    for each in record["detail"]["confusions"][:WORST]:
        yield _row(each["label"], [str(each["rows"])], each["said"])
    yield _END + "</details>"


def failures(record: Record) -> Iterator[str]:
    """Every request of our own that went to the wrong place."""
    rows = record["failures"]
    if not rows:
        return
    yield f"<details><summary>{escape(record['title'])}: {len(rows)} requests</summary>"
    yield _head(["id", "kind", "should answer", "was chosen", "probability", "known", "request"], (4, 5))
    for row in rows:
        texts = [row["id"], row["kind"], row["label"] or "none", row["choice"] or "fallback"]
        numbers = f'<td class="number">{row["probability"]:.2f}</td><td class="number">{row["known"]:.3f}</td>'
        text = row["text"] if len(row["text"]) <= 300 else row["text"][:300] + " ..."
        yield f'<tr>{_cells(texts)}{numbers}<td class="text">{escape(text)}</td></tr>'
    yield _END + "</details>"


_END: Final = "</tbody></table></div>"


def _head(names: Sequence[str], numbers: Sequence[int] = (), kind: str = "") -> str:
    cells = "".join(
        f'<th class="number">{escape(name)}</th>' if at in numbers else f"<th>{escape(name)}</th>"
        for at, name in enumerate(names)
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{cells}</tr></thead><tbody>'


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
