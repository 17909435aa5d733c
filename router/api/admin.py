"""/admin: what the person who runs the router may see and change. The edge asks for the admin key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from experts.addition import Addition
from experts.disk import blocked
from experts.errors import RegistryBlocked, RegistryError
from experts.reading.amendment import without_expert
from experts.registry import LoadedRegistry
from router.api.body import read_json
from router.api.edge import json_response
from router.api.errors import ApiError, as_api_error
from router.api.validate import Checker
from router.board.recent import KEPT, Recent, kept
from router.learn.cautions import cautions
from router.learn.harvest import LOOKED_AT, Traffic
from router.live import Live
from router.meter.errors import MeterUnavailable
from router.meter.ledger import Ledger
from router.promises.arrived import with_recent
from router.registry_file import RegistryFile, RegistryMoved
from router.seats import Seat
from router.workers import Behind

log = logging.getLogger("shoal.promises")

MOST_EXAMPLES: Final = 10_000
"""Of one expert, in one request."""

Version = Annotated[
    str | None, Field(description="the version this change was made for; refused when another one serves")
]


class RegistryBody(BaseModel):
    """The body of PUT /admin/registry."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(min_length=1, description="the whole registry.yaml")]
    version: Version = None


Examples = Annotated[
    list[Annotated[str, Field(min_length=1, pattern=r"\S")]],
    Field(min_length=1, max_length=MOST_EXAMPLES, description="requests it answers well; kept in a file of their own"),
]


class ExpertBody(BaseModel):
    """The body of POST /admin/experts and of POST /admin/experts/preview."""

    model_config = ConfigDict(extra="forbid", strict=True)

    expert: Annotated[dict[str, Any], Field(description="an expert as it stands under `experts` in registry.yaml")]
    examples: Examples | None = None
    version: Version = None


_REGISTRY: Final = Checker(RegistryBody)
_EXPERT: Final = Checker(ExpertBody)


class Admin:
    """The endpoints under /admin."""

    def __init__(
        self, live: Live, file: RegistryFile, recent: Recent, ledger: Ledger, max_body_bytes: int, behind: Behind,
        seat: Seat | None,
    ) -> None:  # fmt: skip
        """Previews are tried on the newest requests that the ledger keeps, or else on the `recent` ones.

        `seat` is this worker's among others.
        """
        self._live = live
        self._recent = recent
        self._ledger = ledger
        self._file = file
        self._behind = behind
        self._worker = None if seat is None else seat.number
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/admin/certificates", self.certificates, methods=["GET"]),
            Route("/admin/certificates", self.certify, methods=["POST"]),
            Route("/admin/registry", self.registry, methods=["GET"]),
            Route("/admin/registry", self.replace, methods=["PUT"]),
            Route("/admin/experts", self.add, methods=["POST"]),
            Route("/admin/experts/preview", self.preview, methods=["POST"]),
            Route("/admin/experts/{expert}", self.remove, methods=["DELETE"]),
        ]

    async def certificates(self, _: Request) -> Response:
        """GET: what every policy promises, whether it is kept, and why not, as the worker that answers sees it."""
        return json_response(await self._promised())

    async def _promised(self) -> dict[str, Any]:
        snapshot, worker = self._live.snapshot, self._worker
        said = snapshot.promises.to_json()
        if any(each["kind"] == "estimate" for each in said):
            basis = snapshot.promises, snapshot.judge, snapshot.registry, snapshot.tariffs
            said = await asyncio.to_thread(with_recent, *basis, await self._arrived())
        return {"object": "list", "registry_version": snapshot.version, "worker": worker, "data": said}

    async def certify(self, _: Request) -> Response:
        """POST: make them again now, whatever is on file, for every worker."""
        try:
            await self._live.certify(self._worker)
        except OSError as error:
            why = blocked(error, Path(error.filename).parent)
            told = f"certificates: made again at this worker alone, for the others cannot be told: {why}"
            raise as_api_error(RegistryBlocked([told])) from None
        behind = await self._behind()
        return json_response({**await self._promised(), "behind": behind})

    async def registry(self, _: Request) -> Response:
        """GET: the file as it stands, and the version that serves."""
        with _told():
            text = self._file.text()
        return json_response({"object": "registry", "version": self._live.snapshot.version, "text": text})

    async def replace(self, request: Request) -> Response:
        """PUT: another registry, checked, written and live before this answers, at every worker."""
        body = _REGISTRY.check(await self._body(request))
        loaded = await self._changed(request, body["text"], body, "registry put")
        with _told():
            warnings = await asyncio.to_thread(cautions, loaded.registry)
        return await self._live_everywhere(loaded, warnings=warnings)

    async def add(self, request: Request) -> Response:
        """POST: one more expert; its examples come with it, or lie in a file beside the registry already."""
        body = _EXPERT.check(await self._body(request))
        with _told():
            addition = Addition.of(body["expert"], body.get("examples") or ())
            loaded = await self._file.add(addition, body.get("version"), request.scope["shoal"][1])
            told = await self._file.told_of(str(addition.expert["id"]), loaded)
        return await self._live_everywhere(loaded, 201, **told)

    async def remove(self, request: Request) -> Response:
        """DELETE: an expert leaves; requests under way finish."""
        expert = request.path_params["expert"]

        def without(text: str) -> str:
            left = without_expert(text, expert)
            if left is None:
                message = f"The registry's file has no expert `{expert[:256]}`"
                remedy = "Remedy: an id that GET /admin/registry shows."
                raise ApiError(404, f"{message}. {remedy}", param="expert", code="model_not_found")
            return left

        loaded = await self._changed(request, without, {}, f"expert {expert[:64]!r} removed")
        return await self._live_everywhere(loaded)

    async def preview(self, request: Request) -> Response:
        """POST: what one more expert would take over, and what policies would then promise; nothing is changed."""
        body = _EXPERT.check(await self._body(request))
        with _told():
            addition = Addition.of(body["expert"], body.get("examples") or (), passing=True)
            found = await self._file.preview(addition, await self._traffic(), request.scope["shoal"][1])
        return json_response({"object": "preview", "registry": self._live.snapshot.version, **found})

    async def _arrived(self) -> Traffic:
        """The newest requests, for what budgets take of them; of a ledger that cannot be read, those in memory."""
        try:
            return await self._traffic(LOOKED_AT)
        except MeterUnavailable as error:
            log.warning("what budgets take is told of the requests since the start alone: %s", error)
            return self._recent.traffic()

    async def _traffic(self, most: int = KEPT) -> Traffic:
        """The newest requests. Raises `MeterUnavailable`."""
        snapshot = self._live.snapshot
        if not snapshot.registry.learning.keep_vectors:
            return self._recent.traffic()
        return await asyncio.to_thread(kept, self._ledger, snapshot.encoder.encoder.fingerprint, most)

    async def _body(self, request: Request) -> Any:
        return await read_json(request.scope, request.receive, self._max_body_bytes)

    async def _changed(
        self, request: Request, amend: Callable[[str], str] | str, body: dict[str, Any], what: str
    ) -> LoadedRegistry:
        with _told():
            return await self._file.change(amend, body.get("version"), request.scope["shoal"][1], what)

    async def _live_everywhere(self, loaded: LoadedRegistry, status: int = 200, **more: object) -> Response:
        """The answer of a change that is live here, once the workers beside this one serve it too."""
        experts = [spec.id for spec in loaded.registry.experts]
        behind = await self._behind()
        body = {"object": "registry", "version": loaded.version, "experts": experts, **more, "behind": behind}
        return json_response(body, status)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a registry is told to the client."""
    try:
        yield
    except (RegistryError, RegistryMoved) as error:
        raise as_api_error(error) from None
