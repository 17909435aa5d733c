"""Records -> one HTML page: no script, no network, light and dark.

Verdict, figures and the first plots are what is read in two minutes; every detail is folded below, and linked from the
top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from eval.drawn import NO_INTERVAL
from eval.report import words
from eval.report.details import ablation, baselines, by_group, failures, per_class
from eval.report.newcomers import TITLE as NEWCOMERS
from eval.report.newcomers import costs, newcomers
from eval.report.plots import inline, kinds
from eval.report.table import END, framed, opened
from eval.report.words import Record
from eval.wording import interval_text, machines_text, target_text, value_text, without_interval

STYLE: Final = Path(__file__).with_name("style.css")

PLOTS: Final[Mapping[str, Mapping[str, str]]] = {
    "frontiers": {"frontier": "Quality at every cost", "risk": "loss as small models answer more"},
    "calibration": {"calibration": "Are the probabilities calibrated?"},
    "confusion": {"confusion": "Who should have answered, and who was chosen"},
}
"""Sections by the name in their address: kinds of plots that stand side by side for each set, and what each shows."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading; `folded` ones are opened by who wants to know."""

    at: str
    """Its name in the page's address."""
    title: str
    lines: Sequence[str]
    folded: bool = True

    def __str__(self) -> str:
        heading, body = f"<h2>{escape(self.title)}</h2>", "\n".join(self.lines)
        if self.folded:
            # A link to what is folded in opens it; a link to the details themselves would not.
            inside = f'<div id="{self.at}">\n{body}\n</div>'
            return f'<details class="section"><summary>{heading}</summary>\n{inside}\n</details>'
        return f'<section id="{self.at}">{heading}\n{body}\n</section>'


def page(
    records: Sequence[Record],
    svgs: dict[tuple[str, str], str],
    undrawn: Collection[str] = (),
    added: Mapping[str, Any] | None = None,
    unmeasured: Sequence[str] = (),
) -> str:
    """The whole page; `svgs` holds the plots by run and kind, `undrawn` the ids of runs that draw nothing.

    `added` is what `eval.added` wrote, None where it did not; `unmeasured` names figures that have only a target.
    """
    sections = [*_first(records, undrawn, added), *_plots(records, svgs), *_details(records, undrawn)]
    told = [section for section in sections if section.lines]
    body = "\n".join([*_verdict(records, costs(added), unmeasured), _contents(told), *map(str, told)])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>Shoal: does the choice pay?</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _verdict(records: Sequence[Record], others: Sequence[Record], unmeasured: Sequence[str]) -> Iterator[str]:
    targeted = [*records, *others]
    yield "<h1>Does the choice pay?</h1>"
    where = machines_text(records, python=True)
    quick = " A quick look: one seed, no ablation." if any(record.get("quick") for record in records) else ""
    yield f'<p class="faint">The router\'s own judge, measured by make eval on {escape(where)}.{quick}</p>'
    yield f'<div class="verdict"><strong>{escape(words.headline(targeted, len(unmeasured)))}</strong>'
    items = [f'<span class="bad">not reached</span> {escape(each)}' for each in words.missed(targeted)]
    items += [f'<span class="bad">not measured</span> {escape(each)}' for each in unmeasured]
    for record in records:
        for good, verb, rest in words.verdicts(record):
            sign = "good" if good else "bad"
            told = f'<span class="{sign}">{escape(verb)}</span> {escape(rest)}'
            items.append(f"{escape(record['title'])}: the judge {told}")
    yield "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
    if any(record["verdict"] for record in records):
        yield f'<p class="faint">{escape(words.SAME_COST)}</p>'
    yield "</div>"


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{each.at}">{escape(each.title)}</a></li>' for each in sections)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _first(records: Sequence[Record], undrawn: Collection[str], added: Mapping[str, Any] | None) -> Iterator[Section]:
    yield Section("figures", "Figures", [*_figures(records, undrawn)], folded=False)
    yield Section("newcomers", NEWCOMERS, [*newcomers(added, records)], folded=False)


def _figures(records: Sequence[Record], undrawn: Collection[str]) -> Iterator[str]:
    heads = '<th>figure</th><th class="number">measured</th><th class="number">95 % interval</th>'
    yield opened("Figures and their targets", f"{heads}<th>target</th><th>stretch target</th><th></th>", "cards")
    for record in records:
        seeds = f'<span class="faint">{escape(words.seeds(record, undrawn))}</span>'
        yield f'<tr class="set"><th colspan="6">{escape(record["title"])} {seeds}</th></tr>'
        yield from map(_figure, record["figures"].values())
    yield END
    yield '<p class="faint">A value is the mean over the seeds named beside its set; one seed is enough where nothing '
    lacking = without_interval(figure for record in records for figure in record["figures"].values())
    why = f" {NO_INTERVAL}" if lacking else ""
    yield f"is drawn at random. Intervals are 95 %, over requests drawn again (bootstrap) and seeds.{why}</p>"


_AIMED: Final = {
    True: '<br><span class="good">stretch too</span>',
    False: '<br><span class="faint">stretch missed</span>',
    None: "",
}


def _figure(figure: Mapping[str, Any]) -> str:
    told = {
        "measured": value_text(figure),
        "95 %": interval_text(figure),
        "target": target_text(figure, "reach"),
        "stretch target": target_text(figure, "aim"),
    }
    cells = "".join(
        f'<td class="{"number" if name in ("measured", "95 %") else "once"}" data-label="{name}">{escape(text)}</td>'
        for name, text in told.items()
    )
    verdict = words.VERDICTS[figure["reached"]] + _AIMED[figure["aim_reached"]]
    return f"<tr><td>{escape(figure['title'])}</td>{cells}<td>{verdict}</td></tr>"


def _plots(records: Sequence[Record], svgs: dict[tuple[str, str], str]) -> Iterator[Section]:
    for at, captions in PLOTS.items():
        shown = [(record, kind) for record in records for kind in captions if (record["id"], kind) in svgs]
        lines = [FIRST_SEED, '<div class="plots">', *_framed(shown, captions, svgs), "</div>"] if shown else []
        yield Section(at, ", and ".join(captions.values()), lines, folded=at != "frontiers")


def _framed(
    shown: Sequence[tuple[Record, str]], captions: Mapping[str, str], svgs: dict[tuple[str, str], str]
) -> Iterator[str]:
    for record, kind in shown:
        name = f"{captions[kind]}: {record['title']}"
        said = escape(record["title"] if len(captions) == 1 else f"{record['title']}: {captions[kind].lower()}")
        plot = inline(svgs[record["id"], kind], escape(name))
        yield f"<figure><figcaption>{said}</figcaption>{framed(name, plot)}</figure>"


FIRST_SEED: Final = '<p class="faint">First seed only.</p>'


def _details(records: Sequence[Record], undrawn: Collection[str]) -> Iterator[Section]:
    told = (
        "<p>Each part was left out in turn, on the same requests. A number says by how much a figure is better with "
        "the part than without it, with a 95 % interval. Figures that a part does not change are not listed.</p>"
    )
    yield Section("parts", "Ablation: what each part of the judge is worth", [told, *ablation(records)])
    yield Section("ways", "Baselines: choosing without the judge", [FIRST_SEED, *baselines(records)])
    groups = [line for record in records for line in (*by_group(record), *per_class(record))]
    yield Section("kinds", "By kind of request and by class", groups)
    wrong = [line for record in records for line in failures(record)]
    own = '<p class="faint">Only our own requests are listed; other people\'s data is not published.</p>'
    yield Section("wrong", "Requests that went wrong", [*wrong, own])
    yield Section("how", "How it was measured", ["<ul>", *_measured(records, undrawn), "</ul>"])


def _measured(records: Sequence[Record], undrawn: Collection[str]) -> Iterator[str]:
    for record in records:
        said = f"{record['title']}: {words.leaks(record)} {words.seeds(record, undrawn)}; {words.rests_on(record)}."
        yield f'<li class="faint">{escape(said)}</li>'


def drawn(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Every plot of the records. Raises `PlotsError`."""
    return {(record["id"], kind): draw(record) for record in records for kind, draw in kinds(record)}
