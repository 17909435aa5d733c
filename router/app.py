"""create_app(settings): the ASGI application; nothing happens at import."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from experts.errors import ShoalError
from experts.registry import load_registry
from experts.watch import RegistryWatcher
from router.api.chat import ChatCompletions
from router.api.edge import LOCAL_HOSTS, Edge, Keys
from router.api.embeddings import Embeddings
from router.api.errors import ApiError, as_api_error, error_code
from router.api.health import Health
from router.api.models import Models
from router.api.route import Route as RouteEndpoint
from router.live import Live
from router.meter.attempt import Books
from router.meter.energy import SharedCpuClock
from router.meter.ledger import Ledger
from router.pipeline import Pipeline
from router.settings import Settings
from router.telemetry import Telemetry

log = logging.getLogger("shoal")


def create_app(settings: Settings) -> FastAPI:
    """The whole service. Its lifespan opens registry, encoder, judge, experts and ledger, and closes them again."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with _serving(app, settings):
                yield
        except ShoalError as error:
            log.critical("cannot start: %s", error)
            raise

    app = FastAPI(title="Shoal", lifespan=lifespan, docs_url=None, redoc_url=None)
    hosts = None if settings.api_keys else LOCAL_HOSTS | {settings.host}
    app.add_middleware(Edge, keys=Keys(settings.api_keys, settings.admin_key), hosts=hosts)
    app.add_exception_handler(HTTPException, _as_json)
    app.add_exception_handler(ApiError, _as_json)
    return app


@asynccontextmanager
async def _serving(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    loaded = await asyncio.to_thread(load_registry, settings.registry)
    async with AsyncExitStack() as stack:
        ledger = await asyncio.to_thread(Ledger.open, settings.ledger_path)
        stack.push_async_callback(ledger.aclose)
        live = await Live.open(loaded, settings)
        stack.push_async_callback(live.aclose)
        telemetry = Telemetry()
        books = Books(ledger, error_code, SharedCpuClock(time.process_time_ns), live.clock, telemetry.closed)
        watcher = RegistryWatcher(settings.registry, loaded, live.adopt, live.refuse)
        await stack.enter_async_context(watcher)
        health = Health(live, watcher, telemetry, open_details=not settings.api_keys)
        # The doors are hung only now, when everything behind them is there.
        app.router.routes[:0] = _routes(live, books, health, settings)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watcher.nudge)
        warming = asyncio.create_task(live.warm())
        stack.callback(warming.cancel)
        yield


def _routes(live: Live, books: Books, health: Health, settings: Settings) -> list[BaseRoute]:
    """The endpoints, the hottest first."""
    pipeline, limit = Pipeline(live, books), settings.max_body_bytes
    models = Models(live, int(time.time()))
    return [
        Route("/v1/chat/completions", ChatCompletions(pipeline, limit), methods=["POST"]),
        Route("/v1/embeddings", Embeddings(live, books, limit), methods=["POST"]),
        Route("/v1/route", RouteEndpoint(pipeline, limit), methods=["POST"]),
        Route("/v1/models", models.list),
        Route("/v1/models/{model:path}", models.get),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
    ]


async def _as_json(_: Request, error: Exception) -> Response:
    answer = as_api_error(error)
    return Response(answer.body(), answer.status, answer.headers, media_type="application/json")
