"""How well the shipped experts that read the vector do on tickets and questions they were not made from.

    python -m eval.catalog            print the figures
    python -m eval.catalog --write    and write them into the experts' cards

Each expert is asked as in serving, through its protocol, with the registry's encoder; nothing of its inside is used.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from experts.answers import AnswersExpert
from experts.errors import ExpertError
from experts.labels import LabelsExpert
from experts.protocol import Expert
from experts.registry import load_registry
from experts.spec import AnswersSpec, LabelsSpec
from experts.wire import Call
from router.encode import Encoder

HOLDOUT = "holdout.jsonl"
"""Beside an expert's own file: rows of input and label that it never sees."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value of a card."""

    metric: str
    value: float
    n: int
    data: str
    machine: str
    date: str
    command: str = "python -m eval.catalog --write"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]


async def reply(expert: Expert, encoder: Encoder, text: str) -> str | None:
    """What `expert` answers to `text`; None when it declines."""
    body = {"messages": [{"role": "user", "content": text}]}
    try:
        completion = await expert.complete(Call(body, "catalog", encoder.encode(text)))
    except ExpertError:
        return None
    content: str = completion.body["choices"][0]["message"]["content"]
    return content


async def replies(expert: Expert, encoder: Encoder, rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """What `expert` answers to the `input` of every row."""
    return [await reply(expert, encoder, row["input"]) for row in rows]


async def answers_figures(spec: AnswersSpec, encoder: Encoder) -> list[tuple[str, float, int]]:
    """Metric, value and n of a curated-answers expert on its holdout."""
    text_of = {row["id"]: row["answer"] for row in rows_of(spec.answers)}
    rows = rows_of(spec.answers.with_name(HOLDOUT))
    given = await replies(AnswersExpert.load(spec, encoder.encode_all), encoder, rows)
    right = [text == text_of[row["label"]] for text, row in zip(given, rows, strict=True)]
    curated = set(text_of.values())
    return [
        ("questions given their own answer", sum(right) / len(rows), len(rows)),
        ("questions given any curated answer", sum(text in curated for text in given) / len(rows), len(rows)),
    ]


async def labels_figures(spec: LabelsSpec, encoder: Encoder) -> list[tuple[str, float, int]]:
    """Metric, value and n of a label expert on its holdout."""
    rows = rows_of(spec.labels.with_name(HOLDOUT))
    given = await replies(LabelsExpert.load(spec, encoder.encode_all), encoder, rows)
    right = [text == row["label"] for text, row in zip(given, rows, strict=True)]
    return [("tickets given their own label", sum(right) / len(rows), len(rows))]


def machine() -> str:
    """The processor and Python figures were measured with, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names) or '?'} x {names[0] if names else platform.processor()}, Python {platform.python_version()}"


async def measure(registry_path: Path) -> dict[Path, list[Figure]]:
    """The figures of every expert with a holdout, by the path of its card."""
    registry = load_registry(registry_path).registry
    encoder = Encoder.of(registry.encoder)
    today = datetime.now(UTC).date().isoformat()
    found: dict[Path, list[Figure]] = {}
    for spec in registry.experts:
        if spec.card is None or not spec.card.with_name(HOLDOUT).exists():
            continue
        if isinstance(spec, AnswersSpec):
            measured = await answers_figures(spec, encoder)
        elif isinstance(spec, LabelsSpec):
            measured = await labels_figures(spec, encoder)
        else:
            continue
        data = f"{HOLDOUT}, encoder {registry.encoder.sha256[:12]}"
        found[spec.card] = [Figure(m, round(v, 3), n, data, machine(), today) for m, v, n in measured]
    return found


def write(card: Path, figures: Sequence[Figure]) -> None:
    """Replace the `figures:` at the end of a card; the rest stays byte for byte."""
    head, mark, _ = card.read_text(encoding="utf-8").partition("\nfigures:")
    if not mark:
        raise ValueError(f"{card}: has no 'figures:' at the end. Remedy: add the line 'figures: []'")
    listed = yaml.safe_dump({"figures": [asdict(figure) for figure in figures]}, sort_keys=False, width=120)
    card.write_text(f"{head}\n{listed}", encoding="utf-8")


def main() -> None:
    """Measure, print, and on `--write` keep."""
    parser = argparse.ArgumentParser(description="Measure the shipped experts on their holdouts.")
    parser.add_argument("--registry", type=Path, default=Path("registry.yaml"))
    parser.add_argument("--write", action="store_true", help="write the figures into the cards")
    options = parser.parse_args()
    for card, figures in asyncio.run(measure(options.registry.absolute())).items():
        for figure in figures:
            print(f"{card.parent.name:12} {figure.metric:36} {figure.value:.3f}  n={figure.n}")
        if options.write:
            write(card, figures)


if __name__ == "__main__":
    main()
