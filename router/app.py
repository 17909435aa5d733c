"""create_app(settings): the ASGI application; nothing happens at import."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from experts.disk import blocked
from experts.errors import ShoalError
from experts.registry import load_registry
from experts.watch import RegistryWatcher
from router import memory
from router.api.admin import Admin
from router.api.dashboard import Dashboard
from router.api.edge import LOCAL_HOSTS, OPEN_FOLDER, Edge, Hosts
from router.api.embeddings.endpoint import Embeddings
from router.api.errors import ApiError, as_api_error, error_code, of_anthropic, shaped
from router.api.feedback import FeedbackEndpoint
from router.api.health import Health
from router.api.meter import Meter
from router.api.models import Models
from router.api.openapi import written
from router.api.operations import OPERATIONS
from router.api.pages import Pages
from router.api.protocol import TALLY
from router.api.replay import IDEMPOTENT, Replays
from router.api.route import Route as RouteEndpoint
from router.api.surfaces import Surfaces
from router.board.recent import Recent
from router.chore import chore
from router.experiment import Experiment, secret_key
from router.keys.keeper import Keeper
from router.keys.ring import KeyRing
from router.learn.retention import Retention
from router.leftovers import clear_leftovers
from router.listeners import Listener, Listeners
from router.live import Live
from router.measuring import Machine, keeping, measuring
from router.meter.attempt import Books
from router.meter.energy import READ_EVERY_NS, SharedCpuClock
from router.meter.housekeeping import Housekeeping
from router.meter.ledger import Ledger
from router.meter.record import Intent, Outcome
from router.meter.steady import SteadyClock, utc_us
from router.meter.work import WorkClock
from router.otel.pipe import Pipe, arrived, asked_for
from router.pipeline import Pipeline
from router.registry_file import RegistryFile
from router.seats import seat
from router.settings import Settings
from router.sheets import metrics_of
from router.tally import Tally
from router.telemetry import Telemetry
from router.workers import beside

log = logging.getLogger("shoal")

VERSION: Final = "0.1.0"

REPRICE_S: Final = 1.0
"""Between two looks whether another list price holds; a look takes microseconds, and the first second of a new price
may still be charged the old one."""


class Service(Starlette):
    """Starlette inside the edge.

    The hottest endpoints are called from the edge itself: Starlette's middleware and the walk through its routes would
    cost them a fifth of their time.
    """

    def __init__(self, keys: KeyRing, hosts: Hosts, max_body_bytes: int, lifespan: Lifespan[Starlette]) -> None:
        super().__init__(lifespan=lifespan)
        self.hot: dict[tuple[str, str], ASGIApp] = {}
        self.on_arrival: Callable[[Scope], None] | None = None
        self.router.redirect_slashes = False  # a redirect would repeat whatever Host the client made up
        self.keys = keys
        self.replays = Replays(self._hot, max_body_bytes)
        self.tally = Tally([*(known.path for known in OPERATIONS), "/openapi.json", OPEN_FOLDER + "{file}"])
        self._edge = Edge(self._inside, keys, hosts, self.tally)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        await self._edge(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.on_arrival is not None and scope["type"] == "http":
            self.on_arrival(scope)
        hot = self.hot.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if hot is not None and IDEMPOTENT in scope:
            hot = self.replays
        await (hot or super().__call__)(scope, receive, send)

    async def _hot(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.hot[scope["method"], scope["path"]](scope, receive, send)


def create_app(settings: Settings) -> Starlette:
    """The whole service. Its lifespan opens registry, encoder, judge, experts and ledger, and closes them again."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, object]]:
        try:
            async with _serving(app, settings):
                yield {TALLY: app.tally}
        except ShoalError as error:
            log.critical("cannot start: %s", error)
            raise
        except OSError as error:
            log.critical("cannot start: %s", blocked(error, settings.data_dir))
            raise
        except Exception:
            log.critical("cannot start, by a fault of Shoal's own", exc_info=True)
            raise

    keys = KeyRing(settings.api_keys, settings.admin_key, settings.keys_path, figures_key=settings.figures_key)
    names = {*LOCAL_HOSTS, settings.host, socket.gethostname(), *settings.allowed_hosts}
    app = Service(keys, Hosts(names, lambda: keys.needed), settings.max_body_bytes, lifespan)
    for kind in (HTTPException, ApiError, ShoalError, Exception):
        app.add_exception_handler(kind, _as_json)
    return app


@asynccontextmanager
async def _serving(app: Service, settings: Settings) -> AsyncIterator[None]:
    """Open what serves, in the order in which one needs the other; it is closed the other way round."""
    loaded = await asyncio.to_thread(load_registry, settings.registry)
    await asyncio.to_thread(clear_leftovers, settings)
    async with AsyncExitStack() as stack:
        ledger = await asyncio.to_thread(Ledger.open, settings.ledger_path)
        stack.push_async_callback(ledger.aclose)
        clock = WorkClock()
        clock.join()
        clock.join(ledger.thread)
        live = await Live.open(loaded, settings, clock.join)
        stack.push_async_callback(live.aclose)
        live.models_of, live.astray = app.keys.models_of, app.keys.astray
        live.look_at_keys()
        await stack.enter_async_context(Keeper(app.keys, ledger.read))
        watcher = RegistryWatcher(settings.registry, loaded, live.adopt, live.refuse, live.beside)
        telemetry = _telemetry(app, live, ledger, watcher)
        listeners = Listeners(telemetry, *_collector(app, live, stack))
        ledger.on_devices = listeners.noted
        own = SharedCpuClock(clock, READ_EVERY_NS)
        machine = await stack.enter_async_context(measuring(live, ledger, listeners.settled, own))
        on_close = _closed(app.keys, listeners)
        books = Books(ledger, error_code, own, live.clock, on_close, machine.counters, listeners.beside)
        mine = stack.enter_context(seat(settings.workers_folder))
        await stack.enter_async_context(watcher)
        behind = await stack.enter_async_context(beside(mine, live, watcher))
        metrics = await stack.enter_async_context(metrics_of(telemetry, mine))
        experiment = await stack.enter_async_context(await _experiment(books, live, settings))
        # The doors are hung only now, when everything behind them is there.
        recent = Recent()
        pipeline, limit = Pipeline(live, books, experiment, recent.add), settings.max_body_bytes
        surfaces = Surfaces(pipeline, settings, app.replays.forget)
        stack.push_async_callback(surfaces.aclose)
        app.hot |= {**surfaces.hot, ("POST", "/v1/embeddings"): Embeddings(live, books, limit)}
        app.hot["POST", "/v1/route"] = RouteEndpoint(pipeline, limit)
        app.hot["POST", "/v1/feedback"] = FeedbackEndpoint(live, ledger, limit, app.replays.named_in)
        health = Health(app.keys, live, ledger, watcher, metrics)
        board = Dashboard(app.keys, live, ledger, recent)
        admin = Admin(live, RegistryFile(settings.registry, live, watcher), recent, ledger, limit, behind, mine)
        meter = Meter(app.keys, ledger, settings.keys_path).routes()
        read = [*_read(live, health, board), *admin.routes(), *meter, *Pages.open().routes()]
        app.router.routes[:0] = [*_posted(app), *surfaces.routes(), *read]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watcher.nudge)
        await _work_beside(live, ledger, machine, stack)
        yield


def _telemetry(app: Service, live: Live, ledger: Ledger, watcher: RegistryWatcher) -> Telemetry:
    """What /metrics tells, added up after the ledger's commits."""
    telemetry = Telemetry(
        ledger,
        lambda: live.snapshot.registry,
        lambda: live.snapshot.promises.kept(),
        app.tally.counts,
        lambda: live.snapshot.refused is not None,
        lambda: watcher.problem is not None,
    )
    ledger.afterwards(telemetry.add_up)
    return telemetry


def _collector(app: Service, live: Live, stack: AsyncExitStack) -> Iterator[Listener]:
    """The way to an OpenTelemetry collector, where the environment names one. Raises `OtelError`."""
    if not asked_for(os.environ):
        return

    def remote(expert: str) -> bool:
        spec = live.snapshot.registry.find(expert)
        return spec is not None and spec.kind == "openai"

    pipe = Pipe.open(os.environ, remote)
    stack.push_async_callback(asyncio.to_thread, pipe.close)
    app.on_arrival = arrived
    yield pipe.story


def _closed(keys: KeyRing, listeners: Listeners) -> Callable[[Intent, Outcome], None]:
    """What hears that a request has ended: who is told what the ledger is told, and the key that it is charged to."""

    def closed(intent: Intent, outcome: Outcome) -> None:
        listeners.closed(intent, outcome)
        if intent.request.key_id and outcome.attempts:
            last = outcome.attempts[-1]
            tokens = last.input_tokens + last.output_tokens
            keys.charge(intent.request.key_id, tokens, outcome.cost_yusd, outcome.energy_uj)

    return closed


async def _work_beside(live: Live, ledger: Ledger, machine: Machine, stack: AsyncExitStack) -> None:
    """Begin what repeats in the background: warming up once, forgetting, adding up, list prices."""
    steady = SteadyClock(await asyncio.to_thread(ledger.newest_us))
    if doubt := steady.doubt():
        log.warning(doubt)
    retention = Retention(ledger, live.editions, lambda: live.snapshot.registry.learning, steady.trusted_us)
    housekeeping = Housekeeping(ledger, lambda: keeping(live, machine), steady)
    stack.callback(housekeeping.note)
    prices = chore("list prices that hold now are not charged yet", live.reprice, REPRICE_S)
    for work in (_warm(live), retention.run(), housekeeping.run(), prices):
        stack.callback(asyncio.create_task(work).cancel)


async def _experiment(books: Books, live: Live, settings: Settings) -> Experiment:
    key = secret_key(settings.holdback_key_path)
    seed = await books.ledger.seed(key)
    if seed.is_another:
        told = "ledger %s has draws of another key than %s: those from now on are seed version %d. Remedy: %s"
        remedy = "for an audit of the earlier ones put the key back that lay beside the ledger then"
        log.warning(told, settings.ledger_path, settings.holdback_key_path, seed.version, remedy)
    return Experiment(books, key, seed.version, lambda: live.snapshot.registry, utc_us)


def _posted(app: Service) -> list[BaseRoute]:
    """The hot endpoints again as routes, so that a wrong method is told from an unknown path."""
    return [Route(path, endpoint, methods=[method]) for (method, path), endpoint in app.hot.items()]


def _read(live: Live, health: Health, board: Dashboard) -> list[BaseRoute]:
    models = Models(live, int(time.time()))
    return [
        Route("/v1/models", models.list),
        Route("/v1/models/{model:path}", models.get),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
        Route("/v1/dashboard", board.get),
        Route("/openapi.json", _openapi),
    ]


async def _openapi(_: Request) -> Response:
    return Response(written("Shoal", VERSION), media_type="application/json")


async def _warm(live: Live) -> None:
    try:
        await live.warm()
    except Exception:
        log.exception("experts could not be loaded beforehand; whoever asks them first waits for it")
    memory.settle()


async def _as_json(request: Request, error: Exception) -> Response:
    answer = as_api_error(error)
    if answer.status == 405:
        answer.headers["allow"] = ", ".join(_allowed(request))
    body = shaped(answer, of_anthropic(request.scope), request.scope["shoal"][0])
    return Response(body, answer.status, answer.headers, media_type="application/json")


def _allowed(request: Request) -> list[str]:
    """Every method of a path; the router names those of the first of its routes alone."""
    routes = [one for one in request.app.routes if one.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for one in routes for method in one.methods})
