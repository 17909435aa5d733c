"""What every endpoint of figures asks first: whose the caller may see, and of which period."""

from __future__ import annotations

from starlette.requests import Request

from experts.errors import WrongUsage
from router.api.errors import ApiError, invalid
from router.keys.ring import KeyRing
from router.meter.period import bounds


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
