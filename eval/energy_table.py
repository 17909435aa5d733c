"""`python -m eval.energy_table FILE...`: is the shipped table of joules per token any good on your measurements?

Every model is left out in turn, the three coefficients are fitted to the others, and its rows are predicted; beside it
the shipped coefficients on the same rows. What is wanted: a median error of 20 % at most, and 90 % of the rows within a
factor of two. Exit code 1 where the left-out check fails, 2 where the files do not allow one.

Rows are read from CSV or JSON lines with the columns model, params_b, batch, output_j_per_token and, where they are not
all of it, not 16 bits, or of several machines, total_params_b, weight_bits and machine; or from the JSON files of the
ML.ENERGY leaderboard's repository (public/data/tasks/*.json).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from experts.errors import ShoalError
from router.meter.coefficients import FITS, Size

Doubles = NDArray[np.float64]

MEDIAN_WANTED: Final = 0.20
WITHIN_TWO_WANTED: Final = 0.90

PRECISION_BITS: Final = {"bfloat16": 16.0, "float16": 16.0, "fp16": 16.0, "bf16": 16.0, "fp8": 8.0, "int8": 8.0,
                         "mxfp4": 4.4, "fp4": 4.4, "int4": 4.4}  # fmt: skip
"""Bits of a weight, scales included, by what the leaderboard calls its precision."""

COLUMNS: Final = "columns are model, params_b, batch, output_j_per_token[, total_params_b, weight_bits, machine]"

FAR: Final = 30.0
"""So many times above or below the shipped table in the middle, measurements are likely in another unit."""

_MLENERGY: Final = {
    "model": "model_id",
    "params_b": "activated_params_billions",
    "total_params_b": "total_params_billions",
    "batch": "avg_batch_size",
    "output_j_per_token": "energy_per_token_joules",
    "machine": "gpu_model",
}
"""Our column to the leaderboard's."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one model."""

    model: str
    size: Size
    joules: float


@dataclass(frozen=True, slots=True)
class Check:
    """How far predictions are from what was measured."""

    rows: int
    middle: float
    """Median of predicted over measured."""
    median: float
    """Of the relative error."""
    within_two: float
    """Share of rows predicted within a factor of two."""

    @classmethod
    def of(cls, predicted: Doubles, measured: Doubles) -> Check:
        """Compare (n,) with (n,)."""
        ratio = predicted / measured
        near = (ratio <= 2) & (ratio >= 0.5)
        return cls(len(measured), float(np.median(ratio)), float(np.median(np.abs(ratio - 1))), float(near.mean()))

    @property
    def passed(self) -> bool:
        """Whether it is as good as the table's own page says it should be."""
        return self.median <= MEDIAN_WANTED and self.within_two >= WITHIN_TWO_WANTED


def read_rows(path: Path, machine: str = "") -> list[Row]:
    """The measurements in a file; where rows name a machine those of one (`h100`). Raises ShoalError."""
    rows = []
    try:
        for where, told in _told(path):
            try:
                if _wanted(told, machine):
                    rows.append(_row(told))
            except KeyError as error:
                raise ShoalError(f"{path}{where}: no column {error}. Remedy: {COLUMNS}") from None
            except (TypeError, ValueError) as error:
                raise ShoalError(f"{path}{where}: {error}. Remedy: {COLUMNS}") from None
    except (ValueError, OSError, csv.Error) as error:
        raise ShoalError(f"{path}: cannot be read: {error}. Remedy: {COLUMNS}") from None
    return rows


def terms(rows: Iterable[Row]) -> Doubles:
    """The three terms (n, 3) of the formula: gigabytes over batch, billions of parameters, one."""
    return np.array([[row.size.touched_gb() / row.size.batch, row.size.params_b, 1.0] for row in rows])


def fit(rows: list[Row]) -> Doubles:
    """Coefficients (3,) with the least sum of squared relative errors, none below zero."""
    joules = np.array([row.joules for row in rows])
    scaled = terms(rows) / joules[:, None]
    free = [0, 1, 2]
    while free:
        found, *_ = np.linalg.lstsq(scaled[:, free], np.ones(len(rows)), rcond=None)
        if (found >= 0).all():
            break
        free.pop(int(np.argmin(found)))
    whole = np.zeros(3)
    whole[free] = found
    return whole


def left_out(rows: list[Row]) -> Check:
    """Every model predicted by a fit that never saw it. Raises ShoalError with fewer than four models."""
    models = sorted({row.model for row in rows})
    if len(models) < 4:
        remedy = "give rows of four or more models, and name their machine with --machine"
        raise ShoalError(f"rows of {len(models)} models are too few to leave one out. Remedy: {remedy}")
    predicted = np.zeros(len(rows))
    for model in models:
        own = np.array([row.model == model for row in rows])
        weights = fit([row for row in rows if row.model != model])
        predicted[own] = terms([row for row in rows if row.model == model]) @ weights
    return Check.of(predicted, np.array([row.joules for row in rows]))


def shipped(rows: list[Row], machine: Literal["h100", "b200"]) -> Check:
    """The coefficients Shoal ships, on the same rows."""
    own = FITS[machine]
    weights = np.array([own.per_gb, own.per_params_b, own.constant])
    return Check.of(terms(rows) @ weights, np.array([row.joules for row in rows]))


def main(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON lines, or ML.ENERGY JSON.", exists=True)],
    machine: Annotated[
        Literal["h100", "b200"], typer.Option(help="The machine whose rows are used and whose table is checked.")
    ] = "h100",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Leave one model out, predict its joules per output token, and say how far off that is.

    Example: python -m eval.energy_table measurements.csv
    """
    try:
        rows = [row for path in files for row in read_rows(path, machine)]
        check, ours, weights = left_out(rows), shipped(rows, machine), fit(rows)
    except ShoalError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    told = {
        "rows": check.rows,
        "models": len({row.model for row in rows}),
        "left_out": {"median_error": check.median, "within_two": check.within_two, "passed": check.passed},
        "shipped": {"median_error": ours.median, "within_two": ours.within_two},
        "coefficients": {"per_gb": weights[0], "per_params_b": weights[1], "constant": weights[2]},
    }
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"{told['rows']} rows of {told['models']} models on {machine}")
        for name, each in (("left out", check), ("shipped table", ours)):
            typer.echo(f"{name}: median error {each.median:.0%}, {each.within_two:.0%} within a factor of two")
        typer.echo(f"fitted: {weights[0]:.4g} G/B + {weights[1]:.4g} P + {weights[2]:.4g} J")
    if not 1 / FAR < ours.middle < FAR:
        far = max(ours.middle, 1 / ours.middle)
        typer.echo(
            f"The shipped table is {far:,.0f} times {'above' if ours.middle > 1 else 'below'} these rows: are they in "
            "joules a token, not watt-hours, millijoules or joules a request?", err=True,
        )  # fmt: skip
    if not check.passed:
        raise typer.Exit(1)


def _told(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row with its place in the file. Raises ValueError, OSError or csv.Error."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        rows = csv.DictReader(text.splitlines())
        for row in rows:
            yield f":{rows.line_num}", row
    elif path.suffix == ".json":
        board = json.loads(text)
        if not isinstance(board, dict) or not isinstance(board.get("configurations"), list):
            raise ValueError("it has no list `configurations`, as files of the ML.ENERGY leaderboard do")
        for n, row in enumerate(board["configurations"]):
            yield f", configuration {n}", _renamed(row)
    else:
        for n, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f":{n}", json.loads(line)


def _renamed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of the leaderboard with our columns, as far as it has them."""
    bits = PRECISION_BITS.get(str(row.get("weight_precision")).lower(), row.get("weight_precision"))
    return {**{ours: row[theirs] for ours, theirs in _MLENERGY.items() if theirs in row}, "weight_bits": bits}


def _wanted(told: Mapping[str, Any], machine: str) -> bool:
    return not machine or machine in str(told.get("machine") or machine).lower()


def _row(told: Mapping[str, Any]) -> Row:
    total, bits = told.get("total_params_b"), told.get("weight_bits")
    size = Size(
        _number(told, "params_b"),
        None if total in (None, "") else _number(told, "total_params_b"),
        16.0 if bits in (None, "") else _number(told, "weight_bits"),
        max(1.0, _number(told, "batch")),
    )
    return Row(str(told["model"]), size, _number(told, "output_j_per_token"))


def _number(told: Mapping[str, Any], name: str) -> float:
    """Above 0. Raises KeyError or ValueError."""
    try:
        found = float(told[name])
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"{name} is {told[name]!r}, no number above 0")
    return found


if __name__ == "__main__":
    typer.run(main)
