"""Every figure of the ledger computed again from what its raw rows say was used, bit for bit.

What was measured cannot be computed again: there the rows must add up to what the devices' counters gave.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from experts.wire import Usage
from router.meter.carbon import co2_ug
from router.meter.cost import cost_nusd
from router.meter.counterfactual import counterfactual
from router.meter.energy import modelled_uj, table_uj
from router.meter.hours_schema import ATTEMPT_KEYS, ATTEMPT_SUMS, REQUEST_KEYS, REQUEST_SUMS
from router.meter.kept import KeptTariffs, kept_tariffs
from router.meter.record import BESIDE, Attempt, EnergyMethod, Role, Status
from router.meter.rollup import Rollup, add_up, add_up_day
from router.meter.ulid import ulid_text

MOST_TOLD: Final = 1000
"""Findings kept word for word; all are counted."""

_REQUESTS: Final = """
SELECT request_id, status, ts_us, answered_by, coefficient_version, ci_mg_per_kwh, router_cpu_us, router_energy_uj,
       router_co2_ug, counterfactual_cost_nusd, counterfactual_energy_uj, counterfactual_co2_ug, boot
FROM requests ORDER BY request_id
"""
_ATTEMPTS: Final = """
SELECT request_id, n, expert, role, status, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cpu_us,
       cost_nusd, price_version, energy_uj, energy_method, co2_ug
FROM attempts ORDER BY request_id, n
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure that does not add up."""

    where: str
    """A request's id, with the attempt's number; an hour; a device."""
    figure: str
    kept: int | str | None
    computed: int | str | None

    def __str__(self) -> str:
        return f"{self.where}: {self.figure} is {self.kept}, computed again {self.computed}"


@dataclass(slots=True)
class Audit:
    """What was looked at, and what does not add up."""

    requests: int = 0
    attempts: int = 0
    figures: int = 0
    hours: int = 0
    days: int = 0
    measured: int = 0
    """Attempts whose energy was measured: taken as read, their sum compared with the counters."""
    unknown_tariffs: int = 0
    """Requests from before the ledger kept tariffs: their figures cannot be computed again."""
    wrong: int = 0
    by_figure: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def compare(self, where: str, figure: str, kept: Any, computed: Any) -> None:
        """Count a figure, and note it when both are not the same."""
        self.figures += 1
        if kept != computed:
            self.wrong += 1
            self.by_figure[figure] += 1
            if len(self.findings) < MOST_TOLD:
                self.findings.append(Finding(where, figure, kept, computed))

    def to_json(self) -> dict[str, Any]:
        """As `shoal meter audit --json` prints it."""
        return {
            "ok": not self.wrong,
            "requests": self.requests,
            "attempts": self.attempts,
            "hours": self.hours,
            "days": self.days,
            "figures": self.figures,
            "measured": self.measured,
            "unknown_tariffs": self.unknown_tariffs,
            "wrong": self.wrong,
            "by_figure": dict(self.by_figure),
            "findings": [{"where": f.where, "figure": f.figure, "kept": f.kept, "computed": f.computed}
                         for f in self.findings],
        }  # fmt: skip


def audit(connection: sqlite3.Connection) -> Audit:
    """Look at everything, as it was at one moment."""
    found = Audit()
    connection.execute("BEGIN")
    try:
        _Rows(connection, found).check()
        _check_sums(connection, found)
        _check_devices(connection, found)
    finally:
        connection.execute("COMMIT")
    return found


class _Rows:
    """Requests and their attempts, read side by side in the order of their ids."""

    def __init__(self, connection: sqlite3.Connection, found: Audit) -> None:
        self._found = found
        self._connection = connection
        self._tariffs = kept_tariffs(connection)
        self._names = dict(connection.execute("SELECT id, name FROM names"))

    def check(self) -> None:
        """Compare every request, and every attempt with it."""
        attempts = _grouped(self._connection.execute(_ATTEMPTS))
        ahead = next(attempts, None)
        for row in self._connection.execute(_REQUESTS):
            own: list[tuple[Any, ...]] = []
            while ahead is not None and ahead[0] <= row[0]:
                if ahead[0] == row[0]:
                    own = ahead[1]
                else:
                    self._orphan(ahead[0])
                ahead = next(attempts, None)
            self._request(row, own)
        while ahead is not None:
            self._orphan(ahead[0])
            ahead = next(attempts, None)

    def _orphan(self, request_id: bytes) -> None:
        self._found.compare(ulid_text(request_id), "request of its attempts", "missing", "there")

    def _request(self, row: tuple[Any, ...], rows: list[tuple[Any, ...]]) -> None:
        request_id, status, _, answered_by, version, ci, cpu_us, energy_uj, co2, *fallback, _ = row
        found, where = self._found, ulid_text(request_id)
        found.requests += 1
        found.attempts += len(rows)
        attempts = [self._attempt(values) for values in rows]
        answered = next((a.expert for a in reversed(attempts) if a.status is Status.OK and a.role not in BESIDE), None)
        if Status(status) is Status.OK:
            found.compare(where, "answered_by", self._names.get(answered_by), answered)
        tariffs = self._tariffs.get(version)
        if tariffs is None:
            found.unknown_tariffs += 1
            return
        found.compare(where, "router_energy_uj", energy_uj, modelled_uj(cpu_us, tariffs.uw_per_core))
        found.compare(where, "router_co2_ug", co2, co2_ug(energy_uj, ci or 0))
        for attempt, values in zip(attempts, rows, strict=True):
            self._charges(f"{where}#{values[1]}", attempt, tariffs, ci or 0, values[11] is None)
        if Status(status) not in (Status.STARTED, Status.INTERRUPTED):
            self._counterfactual(where, attempts, tariffs, ci or 0, fallback)

    def _attempt(self, values: tuple[Any, ...]) -> Attempt:
        _, _, expert, role, status, given, made, cached, reasoning, cpu_us, cost, price, energy_uj, method, co2 = values
        return Attempt(
            expert=self._names.get(expert, ""),
            role=Role(role),
            status=Status(status),
            input_tokens=given,
            output_tokens=made,
            cached_tokens=cached,
            reasoning_tokens=reasoning,
            cpu_us=cpu_us,
            cost_nusd=cost,
            price_version=self._names.get(price, ""),
            energy_uj=energy_uj,
            energy_method=EnergyMethod(method),
            co2_ug=co2,
        )

    def _charges(self, where: str, attempt: Attempt, tariffs: KeptTariffs, ci: int, unpriced: bool) -> None:
        found, charged = self._found, tariffs.of(attempt.expert)
        if attempt.status is Status.INTERRUPTED:
            return  # what it took was never known
        usage = Usage(attempt.input_tokens, attempt.output_tokens, attempt.cached_tokens, attempt.reasoning_tokens)
        found.compare(where, "price_version", attempt.price_version, charged.price.version)
        found.compare(where, "cost_nusd", attempt.cost_nusd, cost_nusd(usage, charged.price))
        if attempt.energy_method is EnergyMethod.MODELLED:
            found.compare(where, "energy_uj", attempt.energy_uj, modelled_uj(attempt.cpu_us, tariffs.uw_per_core))
        elif attempt.energy_method is EnergyMethod.TABLE:
            found.compare(where, "energy_uj", attempt.energy_uj, table_uj(usage, charged.energy))
        else:
            found.measured += 1
        found.compare(where, "co2_ug", attempt.co2_ug, co2_ug(attempt.energy_uj, ci))

    def _counterfactual(
        self, where: str, attempts: list[Attempt], tariffs: KeptTariffs, ci: int, kept: list[int]
    ) -> None:
        heard = [attempt for attempt in attempts if attempt.role not in BESIDE]
        computed = counterfactual(heard, tariffs.fallback, ci)
        names = ("cost_nusd", "energy_uj", "co2_ug")
        for name, figure in zip(names, kept, strict=True):
            self._found.compare(where, f"counterfactual_{name}", figure, getattr(computed, name))


def _grouped(rows: sqlite3.Cursor) -> Iterator[tuple[bytes, list[tuple[Any, ...]]]]:
    """Attempts by request; both come in the order of ids."""
    current: list[tuple[Any, ...]] = []
    for row in rows:
        if current and current[0][0] != row[0]:
            yield current[0][0], current
            current = []
        current.append(row)
    if current:
        yield current[0][0], current


def _check_sums(connection: sqlite3.Connection, found: Audit) -> None:
    """Hours whose rows are still there must be what those rows add up to, and days what their hours do."""
    for (hour,) in connection.execute("SELECT hour FROM hours WHERE pruned = 0 ORDER BY hour").fetchall():
        found.hours += 1
        _compare_sums(connection, found, add_up(connection, hour))
    for (day,) in connection.execute("SELECT day FROM days ORDER BY day").fetchall():
        found.days += 1
        _compare_sums(connection, found, add_up_day(connection, day))


def _compare_sums(connection: sqlite3.Connection, found: Audit, fresh: Rollup) -> None:
    grain = fresh.grain
    for table, keys, sums, rows in (
        (grain.requests, REQUEST_KEYS, REQUEST_SUMS, fresh.requests),
        (grain.attempts, ATTEMPT_KEYS, ATTEMPT_SUMS, fresh.attempts),
    ):
        columns = ", ".join((*keys, "n", *sums))
        query = f"SELECT {columns} FROM {table} WHERE {grain.name} = ?"  # noqa: S608 (made of constants)
        kept = sorted(map(repr, connection.execute(query, (fresh.number,))))
        if kept != sorted(map(repr, rows)):
            found.compare(f"{grain.name} {fresh.number}", table, f"{len(kept)} other sums", f"{len(rows)} sums")
        else:
            found.figures += len(rows) * len(sums)


_DEVICES: Final = """
SELECT d.hour, n.name, d.counter_uj, d.attempts_uj + d.router_uj + d.idle_uj + d.other_uj
FROM device_hours d JOIN names n ON n.id = d.device
"""
_CHARGED: Final = f"""
SELECT d.boot, sum(d.charged_uj), (
    SELECT coalesce(sum(a.energy_uj), 0) FROM requests r JOIN attempts a USING (request_id)
    WHERE r.boot = d.boot AND a.energy_method >= {int(EnergyMethod.MEASURED_SHARE)}
)
FROM device_hours d JOIN boots b ON b.id = d.boot
WHERE d.hour >= 0 AND b.started_us >= (SELECT coalesce(max(hour), -1) + 1 FROM hours WHERE pruned > 0) * 3600000000
GROUP BY d.boot
"""  # noqa: S608 (made of constants)


def _check_devices(connection: sqlite3.Connection, found: Audit) -> None:
    """Each device's parts are its counter, and what was charged is what requests were charged."""
    for hour, device, counter, parts in connection.execute(_DEVICES):
        found.compare(f"hour {hour}, {device}", "parts of the counter, in uJ", parts, counter)
    for boot, charged, rows in connection.execute(_CHARGED):
        found.compare(f"run {boot}", "measured energy of attempts, in uJ", rows, charged)
