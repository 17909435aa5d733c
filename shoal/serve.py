"""`shoal serve`: the service on a socket."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from experts.errors import ShoalError, WrongUsage
from experts.process.folder import PrivateFolder
from router.keys.file import keys
from router.meter.steady import utc_us
from router.settings import Settings
from shoal.log import write_log
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings

if TYPE_CHECKING:
    import uvicorn

KEY_CHARS: Final = 22
"""128 random bits take 22 characters of base64; a shorter key does not open a service to a network."""

MOST_WORKERS_PER_CORE: Final = 8
"""One for each core is usual; each takes over a hundred megabytes, its local experts not counted."""


class CannotServe(ShoalError):
    """The service cannot start as asked; the message holds the remedy."""


def serve(
    registry: RegistryPath = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (env SHOAL_HOST, else 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on (env SHOAL_PORT, else 8080); 0 takes any free port.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of processes, at most 8 a core; each loads its own local experts, and /metrics covers all.",
        ),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Start the server: an OpenAI-compatible API that routes each request.

    With --json, one line on standard output gives the address and whether the server answers yet.

    Example: shoal serve --port 8081
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # every thread of a pool nobody needs holds megabytes
    import uvicorn

    from experts.registry import load_registry
    from router import memory
    from shoal.supervisor import START_S

    memory.one_heap()
    check_workers(workers)
    chosen = settings(registry, host=host, port=port)
    check_exposure(chosen)
    write_log()
    load_registry(chosen.registry)  # problems are told here, in full, before a socket is opened
    listener = listen(chosen.host, chosen.port)
    chosen = chosen.model_copy(update={"port": listener.getsockname()[1]})
    os.environ |= {"SHOAL_REGISTRY": str(chosen.registry), "SHOAL_DATA_DIR": str(chosen.data_dir)}
    os.environ |= {"SHOAL_HOST": chosen.host, "SHOAL_PORT": str(chosen.port)}
    config = uvicorn.Config(
        "shoal.asgi:app",
        factory=True,
        loop="uvloop",
        http="router.api.protocol:GuardedProtocol",
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=30,
        workers=workers,
        timeout_worker_healthcheck=START_S,
    )
    run(config, listener, chosen, as_json)


def run(config: uvicorn.Config, listener: socket.socket, chosen: Settings, as_json: bool) -> None:
    """Serve until told to stop. Exits with 1 when the application could not start."""
    import uvicorn

    from shoal.supervisor import Supervisor

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            except SystemExit:  # uvicorn's own code, 3; ours for what a user can mend is 1
                self.should_exit = True
            if self.started:
                _announce(chosen, 1, as_json)

    if config.workers > 1:
        _announce(chosen, config.workers, as_json)
        shared = PrivateFolder()
        os.environ["SHOAL_WORKERS_FOLDER"] = str(shared.path)
        try:
            supervisor = Supervisor(config, [listener])
            supervisor.run()
        finally:
            shared.remove()
        if supervisor.failed:
            raise typer.Exit(1)
        return
    server = Announced(config)
    server.run(sockets=[listener])
    if not server.started:
        raise typer.Exit(1)


def check_workers(workers: int) -> None:
    """Refuse what would take the machine's memory before one of them serves. Raises `WrongUsage`."""
    from router.meter.tariff import cores

    most = MOST_WORKERS_PER_CORE * cores()
    if workers > most:
        raise WrongUsage(
            f"--workers: {workers} are more than {most}, {MOST_WORKERS_PER_CORE} for each core that may be used. "
            "Remedy: about as many as there are cores"
        )


def check_exposure(chosen: Settings) -> None:
    """Refuse to let strangers in. Raises `CannotServe`."""
    if chosen.loopback:
        return
    made = any(key.usable(utc_us()) and key.role == "inference" for key in keys(chosen.keys_path))
    given = [key for key in (*chosen.api_keys, chosen.admin_key, chosen.figures_key) if key]
    if not (made or chosen.api_keys) or min(map(len, given), default=KEY_CHARS) < KEY_CHARS:
        raise CannotServe(
            f"Will not listen on {chosen.host}, where other machines reach it, without an API key, nor with a key in "
            f"SHOAL_API_KEYS, SHOAL_ADMIN_KEY or SHOAL_FIGURES_KEY shorter than {KEY_CHARS} characters. "
            "Remedy: shoal keys create NAME"
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `CannotServe` with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            other = f"make serve PORT={port + 1}, or shoal serve --port {port + 1}"
            remedy = f"stop what listens there, or take another: {other}"
            raise CannotServe(f"port {port} on {host} is busy. Remedy: {remedy}") from None
        remedy = "check --host and --port"
        raise CannotServe(f"cannot listen on {host}:{port}: {error.strerror}. Remedy: {remedy}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(chosen: Settings, workers: int, as_json: bool) -> None:
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    base = f"http://{host}:{chosen.port}"
    if as_json:
        where = {"url": f"{base}/v1", "registry": str(chosen.registry), "workers": workers, "answers": workers == 1}
        echo_json(where)
        sys.stdout.flush()
        return
    if workers > 1:
        typer.echo(f"Shoal starts {workers} processes on {base}/v1", err=True)
        return
    shown = Path(os.path.relpath(chosen.registry))
    typer.echo(f"Shoal serves {shown if '..' not in shown.parts else chosen.registry} on {base}/v1", err=True)
    # Figures and admin keys lie in the same file and close nothing; who made one of these alone knows that.
    key = "-H 'authorization: Bearer YOUR_KEY' " if chosen.api_keys or chosen.keys_path.exists() else ""
    typer.echo(
        f"Try: curl {base}/v1/chat/completions {key}-H 'content-type: application/json' "
        """-d '{"model":"auto","messages":[{"role":"user","content":"What is Shoal?"}]}'""",
        err=True,
    )
