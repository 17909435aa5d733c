"""GET /v1/meter, the ledger's totals; GET /admin/ledger, its rows as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final, cast, get_args

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from router.api.errors import invalid
from router.api.figures import period
from router.keys.file import names
from router.keys.ring import KeyRing
from router.meter.carbon import Grids, UnknownZone
from router.meter.export import rows
from router.meter.forms import Form, NoParquet, exported
from router.meter.ledger import Ledger
from router.meter.report import report
from router.meter.totals import GroupBy

MEDIA: Final[dict[Form, str]] = {
    "csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet",
}  # fmt: skip


class Meter:
    """Both endpoints."""

    def __init__(self, keys: KeyRing, ledger: Ledger, key_file: Path) -> None:
        self._keys = keys
        self._ledger = ledger
        self._key_file = key_file

    def routes(self) -> list[BaseRoute]:
        """Where they are."""
        return [Route("/v1/meter", self.totals), Route("/admin/ledger", self.file)]

    async def totals(self, request: Request) -> Response:
        """What `shoal meter report --json` prints, of a period, `group_by` and `grid_zone`. Raises a 400 `ApiError`.

        Of every key for those who may see all, else of the caller's own.
        """
        key_id = request.scope["shoal"][1]
        own = None if self._keys.sees_all(key_id) else key_id
        since, until = period(request, "group_by", "grid_zone")
        zone = request.query_params.get("grid_zone") or None
        group_by = request.query_params.get("group_by") or None
        if group_by is not None and group_by not in get_args(GroupBy):
            raise invalid(f"'group_by' must be one of {', '.join(get_args(GroupBy))}.", "group_by", "invalid_value")
        try:
            grids = Grids.of(zone) if zone else None
        except UnknownZone as error:
            raise invalid(f"{error}.", "grid_zone", "invalid_value") from None
        body = await asyncio.to_thread(self._totals, since, until, cast(GroupBy | None, group_by), grids, own)
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    async def file(self, request: Request) -> Response:
        """What `shoal meter export` writes, of a period and `format`.

        Raises a 400 `ApiError`, KeysUnavailable or MeterUnavailable.
        """
        asked = period(request, "format")
        form = request.query_params.get("format") or "csv"
        if form not in MEDIA:
            raise invalid(f"'format' must be one of {', '.join(MEDIA)}.", "format", "invalid_value")
        accounts = await asyncio.to_thread(names, self._key_file)
        blocks = self._blocks(*asked, form, accounts)
        try:
            first = await asyncio.to_thread(next, blocks, b"")  # here what hinders is an error, later a broken file
        except NoParquet as error:
            raise invalid(f"{error}.", "format", "unsupported_value") from None
        named = {"content-disposition": f'attachment; filename="ledger.{form}"', "cache-control": "no-store"}
        return StreamingResponse(chain((first,), blocks), media_type=MEDIA[form], headers=named)

    def _totals(
        self, since_us: int | None, until_us: int | None, group_by: GroupBy | None, grids: Grids | None,
        own: str | None,
    ) -> bytes:  # fmt: skip
        with self._ledger.reading() as connection:
            found = report(connection, since_us, until_us, group_by, grids, own=own)
        return orjson.dumps(found.to_json(names(self._key_file) if group_by == "key" else None))

    def _blocks(
        self, since_us: int | None, until_us: int | None, form: Form, accounts: Mapping[str, str]
    ) -> Iterator[bytes]:
        """Made in a thread, as fast as they are taken."""
        with self._ledger.reading() as connection:
            yield from exported(rows(connection, since_us, until_us, accounts), form)
