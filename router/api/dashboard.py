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

from experts.pooling.readiness import Readiness
from router.api.figures import check_sight, period
from router.board.calibration import from_examples
from router.board.overview import overview
from router.board.plane import Plane, Seen
from router.board.recent import Recent, kept_seen
from router.board.residency import residency
from router.keys.ring import KeyRing
from router.live import Live
from router.meter.ledger import Ledger
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
