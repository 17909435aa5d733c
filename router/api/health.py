"""GET /healthz (alive), /readyz (can answer), /metrics (Prometheus)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from experts.watch import RegistryWatcher
from router.api.edge import ANY, json_response, secret_of, source_of
from router.api.figures import check_sight
from router.keys.errors import KeysUnavailable, NotAdmitted
from router.keys.ring import KeyRing
from router.live import Live
from router.meter.ledger import Ledger
from router.telemetry import Telemetry


class Health:
    """The three endpoints a platform asks."""

    def __init__(
        self, keys: KeyRing, live: Live, ledger: Ledger, watcher: RegistryWatcher,
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:  # fmt: skip
        self._keys = keys
        self._live = live
        self._ledger = ledger
        self._watcher = watcher
        self._metrics = metrics

    async def alive(self, _: Request) -> Response:
        """200 as long as the process serves."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:
        """200 when the fallback can answer, the ledger be written and keys be checked, else 503.

        Details are for who may see all figures.
        """
        snapshot, problem = self._live.snapshot, self._watcher.problem
        fallback = snapshot.pool.readiness_of(snapshot.registry.fallback)
        why = (
            self._ledger.fault or self._keys.fault or (None if fallback.loaded else f"the fallback is {fallback.state}")
        )
        body: dict[str, object] = {"ready": why is None}
        if self._shown(request):
            body["reason"] = why
            refused = problem.problems if problem else None
            body["registry"] = {
                "version": snapshot.version, "edition": snapshot.edition, "refused_edition": snapshot.refused,
                "refused_edit": refused,
            }  # fmt: skip
            body["promises"] = snapshot.promises.states()
            body["experts"] = {name: state._asdict() for name, state in snapshot.pool.readiness().items()}
        return json_response(body, 200 if why is None else 503)

    def _shown(self, request: Request) -> bool:
        """Whether the caller may see details: all where the API is open, else a key for figures or an admin's.

        A wrong key counts as a guess and is answered as none: what a platform is told hangs on no key.
        """
        headers = dict(request.scope["headers"])
        try:
            caller = self._keys.admit(ANY, secret_of(headers), source_of(request.scope))
        except (KeysUnavailable, NotAdmitted):
            return False
        return self._keys.sees_all(caller.id)

    async def metrics(self, request: Request) -> Response:
        """The Prometheus text format. Raises a 403 `ApiError`."""
        check_sight(self._keys, request)
        return Response(await self._metrics(), media_type=Telemetry.content_type)
