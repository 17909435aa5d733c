"""GET /v1/dashboard: every figure the dashboard draws, in one answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from experts.pool import Readiness
from router.api.errors import ApiError, invalid
from router.board.calibration import from_examples
from router.board.overview import overview
from router.board.plane import Plane
from router.board.recent import Recent
from router.board.residency import residency
from router.live import Live, Snapshot
from router.meter.ledger import Ledger

FRESH_S: Final = 1.0
"""How long an answer serves again, at least."""

REST: Final = 10
"""And so many times as long as it took to make, so that watching never takes more than a tenth of a core."""

ANSWERS: Final = 16
"""Different periods remembered."""


class Dashboard:
    """The endpoint."""

    def __init__(self, live: Live, ledger: Ledger, recent: Recent) -> None:
        self._live = live
        self._ledger = ledger
        self._recent = recent
        self._making = asyncio.Lock()
        self._answers: OrderedDict[tuple[int | None, int | None], tuple[float, bytes]] = OrderedDict()
        self._plane: tuple[object, Plane | None] = (None, None)

    async def get(self, request: Request) -> Response:
        """The figures of a period: `from` and `to`, ISO 8601, open when left out. Raises a 400 or 403 `ApiError`."""
        check_sight(self._live, request)
        period = moment(request, "from"), moment(request, "to")
        async with self._making:  # those who ask at once are answered by one look at the ledger
            fresh_until, body = self._answers.get(period, (0.0, b""))
            started = time.monotonic()
            if started > fresh_until:
                snapshot = self._live.snapshot
                readiness = snapshot.pool.readiness()
                body = await asyncio.to_thread(self._make, snapshot, readiness, *period)
                took_s = time.monotonic() - started
                self._answers[period] = time.monotonic() + max(FRESH_S, REST * took_s), body
                self._answers.move_to_end(period)
                if len(self._answers) > ANSWERS:
                    self._answers.popitem(last=False)
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    def _make(
        self, snapshot: Snapshot, readiness: Mapping[str, Readiness], since_us: int | None, until_us: int | None
    ) -> bytes:
        with closing(self._ledger.read()) as connection:
            found = overview(connection, snapshot.registry, since_us, until_us)
        found["loaded"] = residency(readiness, snapshot.registry.memory_budget_mb)
        return orjson.dumps(found | self._judged(snapshot))

    def _judged(self, snapshot: Snapshot) -> dict[str, Any]:
        """What the ledger does not know: the judge and the newest vectors."""
        judge = snapshot.judge
        if self._plane[0] is not judge:
            self._plane = judge, Plane.of(*judge.known())
        plane = self._plane[1]
        return {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "registry_version": snapshot.version,
            "left_out": from_examples(judge, {spec.id: spec.label for spec in snapshot.registry.experts}),
            "map": plane.to_json(self._recent.all()) if plane else None,
        }


def check_sight(live: Live, request: Request) -> None:
    """Raises a 403 `ApiError` where the caller's key is for some models only."""
    if live.seen_by(request.scope["shoal"][1]).hidden:
        message = "Your key may not use every model, so it may not see the figures of all."
        raise ApiError(403, message, code="figures_not_allowed")


def moment(request: Request, name: str) -> int | None:
    """Microseconds since 1970 of a query parameter, UTC unless it says otherwise; None when left out."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        return int((when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise invalid(f"'{name}' is no ISO 8601 date. Write it as 2026-11-21 or 2026-11-21T08:00.", name) from None
