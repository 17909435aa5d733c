"""`make bench`: measure what Shoal itself costs a request, and write eval/results/bench.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from eval.bench.measure import Plan
from eval.bench.result import measured
from eval.provenance import ROOT
from experts.destination import require_folder, write_there
from experts.errors import ShoalError, WrongUsage

RESULT: Final = ROOT / "eval/results/bench.json"
QUICK: Final = Plan(rounds=2, seconds=0.2, settle_s=0.1)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a window.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Windows of each figure.")] = 7,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Kept-alive connections.")] = 16,
    seed: Annotated[int, typer.Option(help="Which prompts are asked.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short look; writes only where --out says.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write, else eval/results/bench.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Measure what Shoal itself costs a request, behind it an upstream that answers at once.

    Example: python -m eval.bench --rounds 15 --seconds 4
    """
    target = out or (None if quick else RESULT)
    if target:
        require_folder("--out", target.parent)
    found = measured(QUICK if quick else Plan(rounds, seconds, connections, seed))
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_there("--out", target, [json.dumps(found, indent=1).encode(), b"\n"])
    if as_json:
        typer.echo(json.dumps(found))
        return
    from eval.bench.show import show

    show(found)
    if target:
        typer.echo(f"written to {target}")


def main() -> None:
    """Run it; what the user can mend ends in clear lines and exit code 1, wrong usage in 2."""
    try:
        app()
    except ShoalError as error:
        for line in str(error).splitlines():
            print(f"bench: {line}", file=sys.stderr)
        sys.exit(2 if isinstance(error, WrongUsage) else 1)


if __name__ == "__main__":
    main()
