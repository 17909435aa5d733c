"""`shoal experts`: list, pull and train."""

from __future__ import annotations

import asyncio
import sys

import typer

from shoal import train
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.registry import list_experts

app = typer.Typer(
    help="List the experts, fetch their weights and train an encoder.\n\nExample: shoal experts pull",
    no_args_is_help=True,
)
app.command("list")(list_experts)
app.add_typer(train.app, name="train")


@app.command()
def pull(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """Download and verify the weights of every local expert; weights already there are only verified.

    Example: shoal experts pull
    """
    from experts.progress import progress_on
    from experts.registry import load_registry
    from experts.spec import LlamaCppSpec
    from experts.weights import fetch

    chosen = settings(registry)
    found = {}
    for spec in load_registry(chosen.registry).registry.experts:
        if isinstance(spec, LlamaCppSpec):
            path = asyncio.run(fetch(spec.weights, chosen.data_dir, chosen.registry.parent, progress_on(sys.stderr)))
            found[spec.id] = str(path)
            if not as_json:
                typer.echo(f"{spec.id}: {path}", err=True)
    if as_json:
        echo_json(found)
