"""Is the savings figure right? Its bias and coverage in simulated worlds, where the truth is known.

    python -m eval.savings                  every world, 500 runs each, into eval/results/savings.json
    python -m eval.savings --groups         of single keys and domains, into eval/results/savings_by_group.json
    python -m eval.savings --runs 50        a look

Beside it the figure that others publish, the same tokens re-priced at the fallback's rate, in the same runs.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from eval.bench.machine import commit, machine
from eval.provenance import ROOT
from eval.terms import PERIODS, Period, Told, Unit, run_under
from eval.worlds import GROUPS, WORLDS, Of, Run, World, run, run_by
from experts.destination import require_file, write_there
from experts.errors import ShoalError
from router.meter.doubt import coefficient_interval
from router.meter.savings import ENOUGH, Estimate, estimate
from router.meter.verified import measured, same_tokens

RESULTS: Final = ROOT / "eval" / "results" / "savings.json"
BY_GROUP: Final = RESULTS.with_name("savings_by_group.json")

BIAS_POINTS: Final = 0.3
DECIDING: Final = 500
"""Runs of each world; of fewer, some are outside though the estimate is right."""
COVERAGE: Final = (0.93, 0.97)

_CALLED: Final[dict[Unit, str]] = {"energy": "energy", "cost": "money"}


@dataclass(frozen=True, slots=True)
class Figures:
    """How the estimates of one world's runs lie to the truth; shares in points."""

    world: str
    runs: int
    """Periods; of groups, the estimates that were made: of each that had conversations enough held back."""
    held: float
    """Conversations held back, on average."""
    bias: float
    bias_error: float
    """Standard error of the bias, from as many runs as there were."""
    rmse: float
    half_width: float
    coverage: float
    same_tokens_bias: float


def figures(world: World, runs: int) -> Figures:
    """Estimate the savings of `runs` periods of a world."""
    return _figures(world.name, [_looked_at(world, run(world, seed)) for seed in _seeds(world, runs)])


def group_figures(group: tuple[World, Of], runs: int) -> Figures:
    """Estimate what each key or domain saved in `runs` periods, where enough of its conversations were held back."""
    world, of = group
    told = (each for seed in _seeds(world, runs) for each in run_by(world, of, seed) if _counts_as(each) >= ENOUGH)
    return _figures(f"{world.name}, by {of}", [_looked_at(world, each) for each in told])


def period_figures(period: Period, runs: int) -> list[Figures]:
    """Estimate the savings of `runs` periods within which the fallback's terms change, in each unit."""
    looked_at = [_reported(run_under(period, seed), period.units) for seed in _seeds(period.world, runs)]
    return [
        _figures(f"{period.world.name}, {_CALLED[unit]}", rows)
        for unit, rows in zip(period.units, zip(*looked_at, strict=True), strict=True)
    ]


def _seeds(world: World, runs: int) -> list[list[int]]:
    return [[zlib.crc32(world.name.encode()), seed] for seed in range(runs)]


def _counts_as(period: Run) -> int:
    return sum(each.held.effective for each in period.segments)


def _held(period: Run) -> int:
    return sum(each.held.conversations for each in period.segments)


def _figures(name: str, looked_at: Sequence[tuple[float, ...]]) -> Figures:
    table = np.array(looked_at)
    runs, (missed, naive, width, held, inside) = len(table), table.T
    return Figures(
        name, runs, float(held.mean()), float(missed.mean()), float(missed.std() / math.sqrt(runs)),
        float(np.sqrt((missed**2).mean())), float(width.mean()), float(inside.mean()), float(naive.mean()),
    )  # fmt: skip


def _looked_at(world: World, period: Run) -> tuple[float, ...]:
    """Points the estimate and the usual figure miss by, half the interval, how many were held back, if it covers."""
    found = estimate(*period.segments)[0]
    low, high = _second(world, period, found) if world.doubt else (found.low, found.high)
    missed, naive = (100 * (share - period.true_share) for share in (found.share, period.same_tokens_share))
    return missed, naive, 50 * (high - low), _held(period), low <= period.real_share <= high


def _reported(told: Told, units: Sequence[Unit]) -> list[tuple[float, ...]]:
    """As `_looked_at`, in each unit, of what a report says."""
    shares, usual = measured(told.paired), same_tokens(told.paired)
    held = told.paired.segments[0].traffic.held.conversations
    found = list[tuple[float, ...]]()
    for unit in units:
        true, told_of = told.true_share[unit], (shares["share"], shares["low"], shares["high"], usual)
        share, low, high, naive = (_known(each[unit]) for each in told_of)
        found.append((100 * (share - true), 100 * (naive - true), 50 * (high - low), held, low <= true <= high))
    return found


def _known(share: float | None) -> float:
    if share is None:
        raise ValueError("a made-up period in which all has a price and many are held back has no figure")
    return share


def _second(world: World, period: Run, found: Estimate) -> tuple[float, float]:
    """The interval of a figure whose coefficients are in doubt."""
    spread = dict(zip(("small", "fallback", "router"), world.doubt or (), strict=True))
    return coefficient_interval(period.spent_j, {"fallback": found.counterfactual}, spread, found.error)


def misses(found: Sequence[Figures]) -> list[str]:
    """What is outside the bounds, beyond what so many runs leave to chance; empty when all is well."""
    told = []
    for each in found:
        if each.held < ENOUGH:
            continue
        luck = 2 * math.sqrt(0.95 * 0.05 / each.runs)
        if abs(each.bias) > BIAS_POINTS + 2 * each.bias_error:
            told.append(f"{each.world}: bias {each.bias:+.2f} points")
        if not COVERAGE[0] - luck <= each.coverage <= COVERAGE[1] + luck:
            told.append(f"{each.world}: coverage {each.coverage:.1%}")
    return told


def standing(found: Sequence[Figures], runs: int) -> list[str]:
    """What is outside, and that so few runs do not tell whether it is by chance."""
    few = f"{runs} runs a world are a look: some are outside by chance alone. Remedy: --runs {DECIDING}"
    return [f"outside: {miss}" for miss in misses(found)] + [few] * (runs < DECIDING)


def to_json(found: Sequence[Figures]) -> dict[str, Any]:
    """The result file."""
    return {
        "commit": commit(ROOT)[0],
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "bounds": {"bias_points": BIAS_POINTS, "coverage": COVERAGE, "holdbacks": ENOUGH},
        "outside": misses(found),
        "coverage": float(np.mean([each.coverage for each in found])),
        "worlds": [{name: getattr(each, name) for name in Figures.__slots__} for each in found],
    }


def main() -> int:
    """Run the suite, print a line a world, write the results of a whole one."""
    parser = argparse.ArgumentParser(description="Measure bias and coverage of the savings figure in simulated worlds.")
    parser.add_argument("--runs", type=int, default=DECIDING, help="runs of each world (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="processes to use (default: %(default)s)")
    parser.add_argument("--groups", action="store_true", help="measure the figures of single keys and domains")
    parser.add_argument(
        "--output", type=Path, help=f"the file to write (default: in eval/results, if runs are {DECIDING} or more)"
    )
    options = parser.parse_args()
    results = BY_GROUP if options.groups else RESULTS
    output = options.output or (results if options.runs >= DECIDING else None)
    if output:
        try:
            require_file("--output", output)
        except ShoalError as error:
            parser.error(str(error))
    found = []
    with ProcessPoolExecutor(options.processes) as pool:
        for each in _measured(pool, options.groups, options.runs):
            found.append(each)
            print(
                f"{each.world:40} held {each.held:6.0f}  bias {each.bias:+.2f} +- {2 * each.bias_error:.2f}"
                f"  half width {each.half_width:5.2f}  coverage {each.coverage:6.1%}"
                f"  same tokens {each.same_tokens_bias:+6.1f}",
                flush=True,
            )
    if output:
        write_there("--output", output, [json.dumps(to_json(found), indent=1).encode(), b"\n"])
    for line in standing(found, options.runs):
        print(line)
    return 1 if misses(found) else 0


def _measured(pool: Executor, groups: bool, runs: int) -> Iterator[Figures]:
    if groups:
        yield from pool.map(partial(group_figures, runs=runs), GROUPS)
        return
    yield from pool.map(partial(figures, runs=runs), WORLDS)
    for of_units in pool.map(partial(period_figures, runs=runs), PERIODS):
        yield from of_units


if __name__ == "__main__":
    raise SystemExit(main())
