"""/admin: what the person who runs the router may see and change. The edge asks for the admin key."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from router.live import Live


class Admin:
    """The endpoints under /admin."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [Route("/admin/certificates", self.certificates)]

    async def certificates(self, _: Request) -> Response:
        """GET: what every policy promises, whether it is kept, and why not."""
        snapshot = self._live.snapshot
        return _json({"object": "list", "registry": snapshot.version, "data": snapshot.promises.to_json()})


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
