"""The ledger's rows for other programs: one row for every attempt, and one for the router's work of every request.

Columns are named as in FOCUS 1.2, the FinOps Foundation's open specification of cost and usage; those it does not know
begin with `x_`. The rows add up to what a report of the same period says, as far as raw rows are kept: `only_in_sums`
(spans.py) tells how far.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

from experts.errors import ShoalError
from experts.extras import install
from router.meter.counterfactual import HEARD
from router.meter.kept import NOBODY, PPM, KeptTariffs, avoidable_ppm, kept_tariffs
from router.meter.record import BESIDE, Arm, EnergyMethod, Role, Status
from router.meter.spans import COMPARED
from router.meter.ulid import ulid_text

Form = Literal["csv", "jsonl", "parquet"]

TEXT: Final = (
    "BillingAccountId", "BillingAccountName", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart",
    "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "InvoiceIssuerName",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "SkuId", "SubAccountId", "SubAccountName",
    "BillingCurrency", "PricingCurrency", "PricingUnit", "ConsumedUnit", "x_request_id", "x_endpoint",
    "x_requested_model", "x_policy", "x_domain", "x_role", "x_status", "x_error", "x_energy_source", "x_price_version",
    "x_coefficient_version", "x_grid_version", "x_token_source", "x_arm", "x_conversation",
)  # fmt: skip
MONEY: Final = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "x_avoidable_cost")
"""Dollars to the nano-dollar, text in CSV and JSON so that no reader rounds them; nothing where no price is known.

EffectiveCost is what a report adds up. Nobody invoices machines by the token: of those only EffectiveCost, the share of
what they take, is more than 0. x_avoidable_cost is the part of it that is not spent when the expert is not asked, and
x_counterfactual_avoidable_nusd that of the fallback alone: what is saved is their difference. Both are rounded down.
"""
NUMBERS: Final = ("ConsumedQuantity", "PricingQuantity", "x_attempt",
                  "x_input_tokens", "x_output_tokens", "x_cached_tokens",
                  "x_energy_uj", "x_co2_ug", "x_counterfactual_cost_nusd", "x_counterfactual_avoidable_nusd",
                  "x_counterfactual_energy_uj", "x_counterfactual_co2_ug", "x_pi_ppm")  # fmt: skip
BOOKS: Final = "Shoal"
"""Who tells of all charges. Providers' own accounts and invoices are not known to it."""

COLUMNS: Final = (*MONEY, *TEXT, *NUMBERS)

_ALONE: Final = ("cost_nusd", "energy_uj", "co2_ug")
_ROWS: Final = """
SELECT r.request_id, r.ts_us, r.total_us, r.endpoint, r.requested_model, r.policy, r.label, r.key, r.status,
       r.error_code, r.coefficient_version, r.grid_version, r.router_energy_uj, r.router_co2_ug,
       {alone},
       a.n, a.expert, a.role, a.status, a.error_code, a.input_tokens, a.output_tokens, a.cached_tokens, a.cost_nusd,
       a.price_version, a.energy_uj, a.energy_method, a.co2_ug, a.token_source, r.arm, r.pi_ppm, r.conversation
FROM requests r LEFT JOIN attempts a USING (request_id) WHERE r.ts_us >= ? AND r.ts_us < ?
ORDER BY r.request_id, a.n
""".format(alone=", ".join(f"CASE WHEN {COMPARED} THEN r.counterfactual_{name} END" for name in _ALONE))
"""What the fallback alone would have taken is nothing where it is not compared with, not 0."""

_WHO: Final = ("InvoiceIssuerName", "ProviderName", "PublisherName")

_BLOCK: Final = 2000


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
            shared = _shared(names, row, accounts)
            yield shared | _router_row(names, row, avoidable_ppm(tariffs.get(row[10])))
        if row[17] is not None:
            yield shared | _attempt_row(names, row) | _cost(names, row, tariffs)


def exported(found: Iterator[dict[str, Any]], form: Form) -> Iterator[bytes]:
    """The rows as a file, in blocks. Raises ShoalError when Parquet's library is not installed."""
    return _WRITERS[form](found)


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
        "ChargePeriodStart": _moment(ts_us),
        "ChargePeriodEnd": _moment(ts_us + (total_us or 0)),
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
    }


def _router_row(names: dict[int | None, str], row: tuple[Any, ...], fallback_ppm: int) -> dict[str, Any]:
    energy_uj, co2_ug, alone_nusd, alone_uj, alone_ug = row[12:17]
    return {
        **dict.fromkeys(MONEY, usd(0)),
        "ChargeDescription": "choosing who answers",
        "SkuId": "router",
        "x_attempt": -1,
        "x_status": Status(row[8]).name.lower(),
        "x_error": names.get(row[9], ""),
        "x_energy_source": EnergyMethod.MODELLED.label,
        "x_energy_uj": energy_uj,
        "x_co2_ug": co2_ug,
        "x_counterfactual_cost_nusd": alone_nusd,
        "x_counterfactual_avoidable_nusd": None if alone_nusd is None else alone_nusd * fallback_ppm // PPM,
        "x_counterfactual_energy_uj": alone_uj,
        "x_counterfactual_co2_ug": alone_ug,
    }


def _attempt_row(names: dict[int | None, str], row: tuple[Any, ...]) -> dict[str, Any]:
    n, expert, role, status, error, given, made, cached, _, price, energy_uj, method, co2_ug = row[17:30]
    heard = Status(status) in HEARD and role not in BESIDE
    return {
        "ChargeDescription": "answer" if heard else "shadow" if role in BESIDE else "discarded",
        **dict.fromkeys(_WHO, names.get(expert, "")),
        "SkuId": names.get(expert, ""),
        "ConsumedQuantity": given + made,
        "PricingQuantity": given + made,
        "x_attempt": n,
        "x_role": Role(role).name.lower(),
        "x_status": Status(status).name.lower(),
        "x_error": names.get(error, ""),
        "x_input_tokens": given,
        "x_output_tokens": made,
        "x_cached_tokens": cached,
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
    avoidable = usd(cost * charged.avoidable_ppm // PPM)
    return {**dict.fromkeys(MONEY, invoiced), "EffectiveCost": usd(cost), "x_avoidable_cost": avoidable}


def usd(nusd: int) -> str:
    """Dollars, exactly."""
    whole, rest = divmod(abs(nusd), 1_000_000_000)
    return f"{'-' if nusd < 0 else ''}{whole}.{rest:09d}"


def harmless(value: Any) -> Any:
    """A text a spreadsheet will not take for a formula: those that could be one get a quote before them (OWASP)."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _month(us: int, later: int = 0) -> str:
    """The beginning of a moment's month, or of the one so much later."""
    when = datetime.fromtimestamp(us / 1e6, UTC)
    year, month = divmod(when.year * 12 + when.month - 1 + later, 12)
    return f"{year:04d}-{month + 1:02d}-01T00:00:00Z"


def _csv(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    head = True
    while (block := list(islice(found, _BLOCK))) or head:
        text = io.StringIO()
        writer = csv.writer(text)
        if head:
            writer.writerow(COLUMNS)
            head = False
        money = frozenset(MONEY)
        writer.writerows([[row[c] if c in money else harmless(row[c]) for c in COLUMNS] for row in block])
        yield text.getvalue().encode()


def _jsonl(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    while block := list(islice(found, _BLOCK)):
        yield "".join(json.dumps(row) + "\n" for row in block).encode()


class _Sink(io.RawIOBase):
    """A file that is read while it is written, and remembers how long it is."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def writable(self) -> bool:
        return True

    def taken(self) -> bytes:
        """What was written since the last time."""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole


def _parquet(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Money as decimals, counts as whole numbers; written block by block."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ShoalError(f"Parquet needs pyarrow. Remedy: {install('parquet')}, or choose csv or jsonl") from None
    from decimal import Decimal

    types = {**dict.fromkeys(MONEY, pa.decimal128(28, 9)), **dict.fromkeys(NUMBERS, pa.int64())}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema) as writer:
        while block := list(islice(found, _BLOCK)):
            typed = [{**row, **{name: Decimal(row[name]) if row[name] else None for name in MONEY}} for row in block]
            writer.write_table(pa.Table.from_pylist(typed, schema))
            yield sink.taken()
    yield sink.taken()


_WRITERS: Final[dict[Form, Callable[[Iterator[dict[str, Any]]], Iterator[bytes]]]] = {
    "csv": _csv, "jsonl": _jsonl, "parquet": _parquet,
}  # fmt: skip
