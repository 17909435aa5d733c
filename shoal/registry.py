"""`shoal registry`: check, list, schema, add."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from experts.errors import RegistryError, WeightsError
from shoal.adding import add
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.outputs import writable
from shoal.promises import promised, show
from shoal.tables import show_table, table_of

app = typer.Typer(
    help="Check and extend registry.yaml, the one file you edit.\n\nExample: shoal registry check", no_args_is_help=True
)
app.command("add")(add)


@app.command()
def check(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """List every problem of the registry with file, line, key and remedy; exit with 1 if there is one.

    The files of the encoder, and all files of rows that the registry names, are checked too. Warnings tell of
    examples that are too few, or that two experts have in common. For each policy that sets a risk or a budget, the
    output says what it would promise.

    Example: shoal registry check --registry my-registry.yaml
    """
    from experts.reading.overlay import idle
    from experts.registry import load_registry
    from router.encode import Encoder
    from router.learn.cautions import cautions
    from router.learn.fit import check_rows

    chosen = settings(registry)
    try:
        loaded = load_registry(chosen.registry)
        Encoder.of(loaded.registry.encoder)  # no server starts with a file other than the one pinned
        check_rows(loaded.registry)
        warnings = [*filter(None, [idle(os.environ)]), *cautions(loaded.registry)]
        count = len(loaded.registry.experts)
        found = promised(chosen, loaded.registry)
    except (RegistryError, WeightsError) as error:
        problems = list(error.problems) if isinstance(error, RegistryError) else [str(error)]
        if as_json:
            echo_json({"valid": False, "problems": problems})
        else:
            for problem in problems:
                typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    if as_json:
        said = {"valid": True, "version": loaded.version, "experts": count, "promises": found}
        echo_json({**said, "warnings": warnings})
    else:
        for warning in warnings:
            typer.echo(warning, err=True)
        fallback = loaded.registry.fallback
        typer.echo(f"{chosen.registry.name} is valid: {count} experts, fallback {fallback}, version {loaded.version}")
        if found:
            show(found)


@app.command("list")
def list_experts(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """List the experts, smallest first, with what each can do and the energy that a token is assumed to take.

    The output also says what "smallest" is ordered by. The energy of a token is used where no counter measures it.

    Example: shoal registry list, or shoal experts list --json
    """
    from experts.registry import load_registry
    from experts.spec import IN_ROUTER, Generative
    from router.ladder import Ladder
    from router.meter.coefficients import energy_of
    from router.meter.units import watt_hours

    loaded = load_registry(settings(registry).registry)
    ladder = Ladder.of(loaded.registry)
    experts = [loaded.registry.expert(name) for name in ladder.experts]
    energies = {spec.id: energy_of(spec, loaded.registry.power) for spec in experts if spec.kind not in IN_ROUTER}
    if as_json:
        told = [json.loads(spec.model_dump_json()) for spec in experts]
        assumed = {name: energy.model_dump(mode="json") for name, energy in energies.items()}
        echo_json([{**each, "energy_of_a_token": assumed.get(each["id"])} for each in told])
        return
    table = table_of("expert", "kind", "params\n(B)", "context", "what for")
    for spec in experts:
        name = f"{spec.id} (fallback)" if spec.id == loaded.registry.fallback else spec.id
        size = f"{spec.params_b:g}{' assumed' * spec.params_assumed}"
        table.add_row(name, spec.kind, size, f"{spec.context:,}", spec.description)
    console = show_table(table)
    console.print(f"from the smallest: {ladder.told}", style="dim", highlight=False)
    for spec in experts:
        can = ", ".join(sorted(spec.capabilities)) or "answer whole"
        most = spec.default_max_tokens if isinstance(spec, Generative) else None
        ends = f"; where a request names no limit it writes {most:,} tokens at most" if most else ""
        console.print(f"{spec.id} can: {can}{ends}", style="dim", highlight=False)
    for name, energy in energies.items():
        read, written = (watt_hours(1e6 * each) for each in (energy.input_j_per_token, energy.output_j_per_token))
        takes = f"{read} a token read and {written} a token written"
        line = f"{name} takes {takes} where nothing measures it: {energy.source}"
        console.print(line, style="dim", highlight=False)


@app.command()
def schema(
    write: Annotated[
        Path | None, typer.Option(callback=writable, help="Write to this file instead of printing.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schema of registry.yaml, which editors use to complete and check it.

    With --write and --json, the output names the file that was written.

    Example: shoal registry schema --write registry.schema.json
    """
    from experts.reading.schema import json_schema_text, write_json_schema

    if write is None:
        sys.stdout.write(json_schema_text())
        return
    write_json_schema(write)
    if as_json:
        echo_json({"written": str(write)})
