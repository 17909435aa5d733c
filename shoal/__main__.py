"""`shoal`: serve, route, registry, experts, keys, meter, eval, learn."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from experts.disk import blocked
from experts.errors import NAMED_WRONGLY, ShoalError, WrongUsage
from shoal import evaluate, experts_commands, keys, learn, meter, registry, route, serve
from shoal.standard_output import tell_of_standard_output

app = typer.Typer(
    name="shoal",
    help="Route each request to the smallest model that answers it well, and account for what that saves."
    "\n\nExample: shoal serve",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)


def _told(asked: bool) -> None:
    if asked:
        from router.app import VERSION

        typer.echo(f"shoal {VERSION}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_told, help="Print the version and exit.")
    ] = False,
) -> None:
    # Fits are small: several threads would mostly wait for each other, and take ten times as long on a busy machine.
    # Of numpy's library alone, for training an encoder wants all threads that torch can have.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


app.command("serve")(serve.serve)
app.command("route")(route.route)
app.add_typer(registry.app, name="registry")
app.add_typer(experts_commands.app, name="experts")
app.add_typer(keys.app, name="keys")
app.add_typer(meter.app, name="meter")
app.add_typer(evaluate.app, name="eval")
app.add_typer(learn.app, name="learn")


def main() -> None:
    """Run a command; what the user can mend ends in one clear line and exit code 1, wrong usage in 2.

    Wrong usage is whatever the command line or an environment variable says alone: an option, a name or a file that is
    not there. What stands in a file that is there is not.
    """
    tell_of_standard_output()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here and not at the end of the process, where nothing is told of it
    except ShoalError as error:
        for line in str(error).splitlines():
            print(f"shoal: {line}", file=sys.stderr)
        sys.exit(2 if isinstance(error, WrongUsage) else 1)
    except OSError as error:
        if error.filename is None:
            raise
        if not isinstance(error, NAMED_WRONGLY):
            print(f"shoal: {blocked(error, Path(error.filename).parent, '')}", file=sys.stderr)
            sys.exit(1)
        remedy = "name a file or folder that is there and that you may use"
        print(f"shoal: {error.filename}: {error.strerror}. Remedy: {remedy}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
