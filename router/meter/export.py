"""The ledger's rows for other programs: one row for every attempt, and one for the router's work of every request.

Columns are named as in FOCUS 1.2, the FinOps Foundation's open specification of cost and usage; those it does not know
begin with `x_`. The rows add up to what a report of the same period says, as far as raw rows are kept: `only_in_sums`
(spans.py) tells how far.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from experts.own_labels import ROUTER
from experts.reading.list_price import catalogue_provider
from router.meter.compared import left_out
from router.meter.counterfactual import HEARD
from router.meter.kept import NOBODY, KeptTariffs, avoidable_ppm, electricity, kept_tariffs, no_price
from router.meter.money import YUSD_PER_NUSD
from router.meter.ppm import PPM
from router.meter.record import BESIDE, Arm, EnergyMethod, Role, Status
from router.meter.ulid import ulid_text

TEXT: Final = (
    "BillingAccountId", "BillingAccountName", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
    "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "InvoiceIssuerName",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "SkuId", "SubAccountId", "SubAccountName",
    "BillingCurrency", "PricingCurrency", "PricingUnit", "ConsumedUnit", "x_request_id", "x_endpoint",
    "x_requested_model", "x_policy", "x_domain", "x_role", "x_status", "x_error", "x_energy_source", "x_price_version",
    "x_coefficient_version", "x_grid_version", "x_token_source", "x_arm", "x_conversation",
    "x_left_out",
)  # fmt: skip
MOMENTS: Final = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
"""Of `TEXT`, in ISO 8601 and UTC, in whole seconds as FOCUS has them; an end is not included."""
MONEY: Final = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "x_avoidable_cost")
"""Dollars to the last digit, text in CSV and JSON so that no reader rounds them; nothing where no price is known.

EffectiveCost is what a report adds up. Nobody invoices machines by the token, nor the router's electricity by the
request: of those only EffectiveCost, the share of what they take, is more than 0. x_avoidable_cost is the part of it
that is not spent when the expert is not asked, and x_counterfactual_avoidable_nusd, rounded down, that of the fallback
alone: what is saved is their difference.
"""
_ALONE: Final = ("x_counterfactual_cost_nusd", "x_counterfactual_avoidable_nusd", "x_counterfactual_energy_uj",
                 "x_counterfactual_co2_ug")  # fmt: skip
_TAKEN: Final = ("ConsumedQuantity", "PricingQuantity", "x_input_tokens", "x_output_tokens", "x_cached_tokens",
                 "x_cache_write_tokens", "x_reasoning_tokens", "x_energy_uj", "x_co2_ug")  # fmt: skip
NUMBERS: Final = (*_TAKEN, "x_attempt", *_ALONE, "x_pi_ppm")
"""Nothing where nobody knows, never 0: what the fallback alone would have taken of a request that it is not compared
with (x_left_out says why), and what was taken of one that was under way when the server died."""
BOOKS: Final = "Shoal"
"""Who tells of all charges. Providers' own accounts and invoices are not known to it."""

COLUMNS: Final = (*MONEY, *TEXT, *NUMBERS)

_ROWS: Final = """
SELECT r.request_id, r.ts_us, r.total_us, r.endpoint, r.requested_model, r.policy, r.label, r.key, r.status,
       r.error_code, r.coefficient_version, r.grid_version, r.router_energy_uj, r.router_co2_ug,
       r.counterfactual_cost_nusd, r.counterfactual_energy_uj, r.counterfactual_co2_ug,
       a.n, a.expert, a.role, a.status, a.error_code, a.input_tokens, a.output_tokens, a.cached_tokens, a.cost_nusd,
       a.price_version, a.energy_uj, a.energy_method, a.co2_ug, a.token_source, r.arm, r.pi_ppm, r.conversation,
       r.expert, r.role, r.router_method, a.reasoning_tokens, a.cache_write_tokens, r.fallback
FROM requests r LEFT JOIN attempts a USING (request_id) WHERE r.ts_us >= ? AND r.ts_us < ?
ORDER BY r.request_id, a.n
"""

_SECOND_US: Final = 1_000_000

_WHO: Final = ("InvoiceIssuerName", "ProviderName", "PublisherName")

_UNKNOWN_PROVIDER: Final = "unknown"
"""Of a server elsewhere whose price names no provider; FOCUS wants a name, and the expert's own is none (`SkuId`)."""


def rows(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None, accounts: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Rows of requests that began in a period (microseconds since 1970, end not included, None for open).

    `accounts`: what keys are called, by their ids.
    """
    names: dict[int | None, str] = dict(connection.execute("SELECT id, name FROM names"))
    bounds = (since_us or 0, 1 << 62 if until_us is None else until_us)
    tariffs = kept_tariffs(connection)
    last, shared = None, dict[str, Any]()
    for row in connection.execute(_ROWS, bounds):
        if row[0] != last:
            last = row[0]
            alone = _alone(row, tariffs.get(row[10]))
            shared = _shared(names, row, accounts) | {name: None if told is None else 0 for name, told in alone.items()}
            yield _nulls(shared | _router_row(names, row, tariffs.get(row[10])) | alone)
        if row[8] == Status.INTERRUPTED:
            yield _nulls(shared | _lost_row(names, row, tariffs.get(row[10])))
        elif row[17] is not None:
            yield _nulls(shared | _attempt_row(names, row, tariffs.get(row[10])) | _cost(names, row, tariffs))


def _nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which what is not there is null, as FOCUS wants it, and no empty text."""
    return {name: None if value == "" else value for name, value in row.items()}


def _shared(names: dict[int | None, str], row: tuple[Any, ...], accounts: Mapping[str, str]) -> dict[str, Any]:
    """What every row of a request says."""
    request_id, ts_us, total_us, endpoint, model, policy, label, number = row[:8]
    key = names.get(number, "")
    return {
        **dict.fromkeys(COLUMNS, ""),
        **dict.fromkeys(NUMBERS, 0),
        "BillingAccountId": BOOKS,
        "BillingAccountName": BOOKS,
        "BillingPeriodStart": _month(ts_us),
        "BillingPeriodEnd": _month(ts_us, 1),
        "ChargePeriodStart": _moment(ts_us // _SECOND_US),
        "ChargePeriodEnd": _moment((ts_us + (total_us or 0)) // _SECOND_US + 1),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        **dict.fromkeys(_WHO, BOOKS),
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Shoal",
        "SubAccountId": key,
        "SubAccountName": accounts.get(key, ""),
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "PricingUnit": "Tokens",
        "ConsumedUnit": "Tokens",
        "x_request_id": ulid_text(request_id),
        "x_endpoint": names.get(endpoint, ""),
        "x_requested_model": names.get(model, ""),
        "x_policy": names.get(policy, ""),
        "x_domain": names.get(label, ""),
        "x_coefficient_version": names.get(row[10], ""),
        "x_grid_version": names.get(row[11], ""),
        "x_arm": Arm(row[31]).name.lower(),
        "x_pi_ppm": row[32],
        "x_conversation": "" if row[33] is None else row[33].hex(),
        "x_left_out": left_out(policy is not None, row[31], row[8]) or "",
    }


def _alone(row: tuple[Any, ...], kept: KeptTariffs | None) -> dict[str, int | None]:
    """What the fallback alone would have taken of a request."""
    if left_out(row[5] is not None, row[31], row[8]):
        return dict.fromkeys(_ALONE)
    nusd, energy_uj, co2_ug = row[14:17]
    if no_price(kept, row[14:17]):
        nusd = None
    avoidable_nusd = None if nusd is None else nusd * avoidable_ppm(kept) // PPM
    return dict(zip(_ALONE, (nusd, avoidable_nusd, energy_uj, co2_ug), strict=True))


def _router_row(names: dict[int | None, str], row: tuple[Any, ...], kept: KeptTariffs | None) -> dict[str, Any]:
    """What the router took: nobody invoices it by the request, and its electricity is all avoidable."""
    price = electricity(kept)
    energy_uj, co2_ug = (None, None) if row[8] == Status.INTERRUPTED else row[12:14]
    cost = None if energy_uj is None else exact(price.cost_yusd(energy_uj))
    return {
        **dict.fromkeys(MONEY, None if energy_uj is None else usd(0)),
        "EffectiveCost": cost,
        "x_avoidable_cost": cost,
        "x_price_version": price.version,
        # What it takes are no tokens, and each request asks for it once.
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Requests"),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), 1),
        "ChargeDescription": "choosing who answers",
        "SkuId": ROUTER,
        "x_attempt": -1,
        "x_status": Status(row[8]).name.lower(),
        "x_error": names.get(row[9], ""),
        "x_energy_source": EnergyMethod(row[36]).label,
        "x_energy_uj": energy_uj,
        "x_co2_ug": co2_ug,
    }


def _lost_row(names: dict[int | None, str], row: tuple[Any, ...], kept: KeptTariffs | None) -> dict[str, Any]:
    """What a request took that was under way when the server died: unknown but for the tokens counted by then.

    Of the expert that was chosen, or the fallback where it was held back; whether another was asked in its place is as
    unknown.
    """
    asked = names.get(row[39] if row[31] == Arm.HOLDBACK else row[34], "")
    counted = row[23] or None
    return {
        **dict.fromkeys((*MONEY, *_TAKEN)),
        "ChargeDescription": "under way when the server died",
        **dict.fromkeys(_WHO, _provider(kept, asked)),
        "SkuId": _sku(asked),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity", "x_output_tokens"), counted),
        "x_role": Role(row[35]).name.lower(),
        "x_status": Status.INTERRUPTED.name.lower(),
    }


def _sku(expert: str) -> str:
    """An expert's id. One that was called as the router, when registries let it, is told from it."""
    return f"expert:{expert}" if expert == ROUTER else expert


def _provider(kept: KeptTariffs | None, expert: str) -> str:
    """Who made an expert available: the provider whose list it is charged by, or this installation itself."""
    charged = NOBODY if kept is None else kept.of(expert)
    if listed := catalogue_provider(charged.price.version):
        return listed
    return BOOKS if charged.owned or charged.metered in ("router", "process") else _UNKNOWN_PROVIDER


def _attempt_row(names: dict[int | None, str], row: tuple[Any, ...], kept: KeptTariffs | None) -> dict[str, Any]:
    n, expert, role, status, error, given, made, cached, _, price, energy_uj, method, co2_ug = row[17:30]
    heard = Status(status) in HEARD and role not in BESIDE
    unheard = ", at least: its client left before the first word" if status == Status.UNHEARD else ""
    return {
        "ChargeDescription": f"answer{unheard}" if heard else "shadow" if role in BESIDE else "discarded",
        **dict.fromkeys(_WHO, _provider(kept, names.get(expert, ""))),
        "SkuId": _sku(names.get(expert, "")),
        "ConsumedQuantity": given + made,
        "PricingQuantity": given + made,
        "x_attempt": n,
        "x_role": Role(role).name.lower(),
        "x_status": Status(status).name.lower(),
        "x_error": names.get(error, ""),
        "x_input_tokens": given,
        "x_output_tokens": None if unheard else made,
        "x_cached_tokens": cached,
        "x_cache_write_tokens": row[38],
        "x_reasoning_tokens": None if unheard else row[37],
        "x_price_version": names.get(price, ""),
        "x_token_source": names.get(row[30], ""),
        "x_energy_source": EnergyMethod(method).label,
        "x_energy_uj": energy_uj,
        "x_co2_ug": co2_ug,
    }


def _cost(
    names: dict[int | None, str], row: tuple[Any, ...], tariffs: Mapping[int, KeptTariffs]
) -> dict[str, str | None]:
    """An attempt's money."""
    cost, price = row[25:27]
    if price is None:
        return dict.fromkeys(MONEY)
    kept = tariffs.get(row[10])
    charged = NOBODY if kept is None else kept.of(names.get(row[18], ""))
    invoiced = usd(0 if charged.owned else cost)
    avoidable = exact(cost * charged.avoidable_ppm * (YUSD_PER_NUSD // PPM))
    return {**dict.fromkeys(MONEY, invoiced), "EffectiveCost": usd(cost), "x_avoidable_cost": avoidable}


def usd(nusd: int) -> str:
    """Dollars, exactly."""
    return exact(nusd * YUSD_PER_NUSD)


def exact(yusd: int) -> str:
    """Dollars, exactly, with nine decimals at least: less than a nano-dollar takes more."""
    whole, rest = divmod(abs(yusd), 10**24)
    decimals = f"{rest:024d}"
    return f"{'-' if yusd < 0 else ''}{whole}.{decimals[:9]}{decimals[9:].rstrip('0')}"


def _moment(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _month(us: int, later: int = 0) -> str:
    """The beginning of a moment's month, or of the one so much later."""
    when = datetime.fromtimestamp(us / 1e6, UTC)
    year, month = divmod(when.year * 12 + when.month - 1 + later, 12)
    return f"{year:04d}-{month + 1:02d}-01T00:00:00Z"
