"""GET /v1/dashboard: every figure the dashboard draws, in one answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from experts.errors import WrongUsage
from experts.pooling.readiness import Readiness
from router.api.errors import ApiError, invalid
from router.board.calibration import from_examples
from router.board.overview import overview
from router.board.plane import Plane, Seen
from router.board.recent import Recent, kept_seen
from router.board.residency import residency
from router.keys.ring import KeyRing
from router.live import Live
from router.meter.ledger import Ledger
from router.meter.period import bounds
from router.meter.report import adding_up
from router.meter.totals import adding_up_json
from router.snapshot import Snapshot

FRESH_S: Final = 1.0
"""How long an answer serves again, at least."""

REST: Final = 10
"""And so many times as long as it took to make, so that watching never takes more than a tenth of a core."""

ANSWERS: Final = 16
"""Different periods remembered."""


@dataclass(slots=True)
class Answer:
    """What was made of one period."""

    body: bytes
    behind: dict[str, Any] | None
    """What `body` says, where hours are not added up yet; None else."""
    fresh_until_s: float = 0.0


NO_ANSWER: Final = Answer(b"", None)


class Dashboard:
    """The endpoint."""

    def __init__(self, keys: KeyRing, live: Live, ledger: Ledger, recent: Recent) -> None:
        self._keys = keys
        self._live = live
        self._ledger = ledger
        self._recent = recent
        self._making = asyncio.Lock()
        self._answers: OrderedDict[tuple[int | None, int | None], Answer] = OrderedDict()
        self._plane: tuple[object, Plane | None] = (None, None)

    async def get(self, request: Request) -> Response:
        """The figures of `from` and `to`, ISO 8601, or of `period`. Raises a 400 or 403 `ApiError`."""
        check_sight(self._keys, request)
        asked = period(request)
        async with self._making:  # those who ask at once are answered by one look at the ledger
            answer = self._answers.get(asked, NO_ANSWER)
            started = time.monotonic()
            if started > answer.fresh_until_s or not await asyncio.to_thread(self._still, answer, *asked):
                snapshot = self._live.snapshot
                readiness = snapshot.pool.readiness()
                answer = await asyncio.to_thread(self._make, snapshot, readiness, *asked)
                took_s = time.monotonic() - started
                answer.fresh_until_s = time.monotonic() + max(FRESH_S, REST * took_s)
                self._answers[asked] = answer
                self._answers.move_to_end(asked)
                if len(self._answers) > ANSWERS:
                    self._answers.popitem(last=False)
        return Response(answer.body, media_type="application/json", headers={"cache-control": "no-store"})

    def _make(
        self, snapshot: Snapshot, readiness: Mapping[str, Readiness], since_us: int | None, until_us: int | None
    ) -> Answer:
        with self._ledger.reading() as connection:
            found = overview(connection, snapshot.registry, since_us, until_us)
            keep, encoder = snapshot.registry.learning.keep_vectors, snapshot.encoder.encoder.fingerprint
            seen = kept_seen(connection, encoder) if keep else self._recent.all()
        found["loaded"] = residency(readiness, snapshot.registry.memory_budget_mb)
        found |= self._judged(snapshot, seen)
        return Answer(orjson.dumps(found), found if found["totals"]["adding_up"] else None)

    def _still(self, answer: Answer, since_us: int | None, until_us: int | None) -> bool:
        """False once the hours are added up that an answer had to do without; until then it tells how far that is."""
        if answer.behind is None:
            return True
        with self._ledger.reading() as connection:
            told = adding_up_json(adding_up(connection, since_us, until_us))
        answer.behind["totals"]["adding_up"] = told
        answer.body = orjson.dumps(answer.behind)
        return told is not None

    def _judged(self, snapshot: Snapshot, seen: Sequence[Seen]) -> dict[str, Any]:
        """What the ledger does not know: the judge and the newest vectors.

        Why an edition is left out is not told here: it holds paths.
        """
        judge = snapshot.judge
        if self._plane[0] is not judge:
            self._plane = judge, Plane.of(*judge.known())
        plane = self._plane[1]
        return {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "registry_version": snapshot.version,
            "learnt": {"edition": snapshot.edition, "left_out": snapshot.refused is not None},
            "left_out": from_examples(judge, {spec.id: spec.label for spec in snapshot.registry.experts}),
            "map": plane.to_json(seen) if plane else None,
        }


def check_sight(keys: KeyRing, request: Request) -> None:
    """Raises a 403 `ApiError` where keys are asked for and the caller's may not see what others spent."""
    if not keys.sees_all(request.scope["shoal"][1]):
        message = (
            "Your key sees its own figures only, at GET /v1/meter. Those of all are for a key that reads figures: "
            "SHOAL_FIGURES_KEY, or shoal keys create NAME --figures."
        )
        raise ApiError(403, message, code="figures_not_allowed")


def period(request: Request, *others: str) -> tuple[int | None, int | None]:
    """Microseconds since 1970 of `from` and `to`, or of `period`, which names both (2026-11, 24h). Raises a 400.

    Also where a parameter is none of these and none of the `others`, or there twice: nothing that was asked for is
    passed over.
    """
    known = ("from", "to", "period", *others)
    for asked in request.query_params:
        if asked not in known:
            message = f"There is no parameter '{asked[:64]}' here; there are {', '.join(known)}."
            raise invalid(message, asked[:64], "unknown_parameter")
        if len(request.query_params.getlist(asked)) > 1:
            raise invalid(f"'{asked}' is there more than once. Remedy: give it once.", asked, "invalid_value")
    since, until, name = (request.query_params.get(each) or None for each in ("from", "to", "period"))
    try:
        return bounds(since, until, name, say="")
    except WrongUsage as error:
        which = str(error).partition(" ")[0].rstrip(":")  # what is wrong is named first
        offset = ", with the + of an offset as %2B" if " " in (request.query_params.get(which) or "") else ""
        raise invalid(f"{error}{offset}.", which, "invalid_value") from None
