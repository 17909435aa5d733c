"""Requests and their attempts read side by side, and everything that was charged computed again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from router.meter.carbon import co2_ug, yearly_mg_per_kwh
from router.meter.cost import cost_nusd
from router.meter.counterfactual import counterfactual
from router.meter.energy import modelled_uj, table_uj
from router.meter.findings import Audit
from router.meter.hours_schema import HOUR_US
from router.meter.kept import KeptTariffs, hash_of, kept_tariffs
from router.meter.record import BESIDE, Arm, Attempt, EnergyMethod, Role, Status
from router.meter.seeds import keys_of
from router.meter.story import WAIT_US, Known, story
from router.meter.ulid import ulid_floor, ulid_text

_REQUESTS: Final = "SELECT * FROM requests ORDER BY request_id"
_ATTEMPTS: Final = "SELECT * FROM attempts ORDER BY request_id, n"
_STRAYS: Final = """
SELECT request_id, 'request of its pair' FROM pairs
WHERE request_id NOT IN (SELECT request_id FROM requests WHERE arm = {held})
UNION ALL
SELECT request_id, 'run beside the request of its pair' FROM pairs p
WHERE NOT EXISTS (SELECT 1 FROM attempts a WHERE a.request_id = p.request_id AND a.role = {shadow})
"""

_CAME: Final = "SELECT 1 FROM requests WHERE boot = ? AND request_id >= ? AND request_id < ? LIMIT 1"

_METHODS: Final = {"router": EnergyMethod.MODELLED, "tokens": EnergyMethod.TABLE}
"""How those are charged that no counter measures; a process is by its CPU time, where that can be read."""

Group = tuple[bytes, list[sqlite3.Row]]


class Recount:
    """One run over the rows."""

    def __init__(self, connection: sqlite3.Connection, found: Audit, key: bytes | None) -> None:
        self._found = found
        self._connection = connection
        self._tariffs = kept_tariffs(connection)
        self._names: dict[int | None, str] = {None: "", **dict(connection.execute("SELECT id, name FROM names"))}
        boots = dict(connection.execute("SELECT id, ended_us IS NOT NULL FROM boots"))
        self._known = Known(self._names, boots, keys_of(connection, key))

    def check(self) -> None:
        """Compare every request, and every attempt with it."""
        self._versions()
        attempts = self._grouped()
        ahead = next(attempts, None)
        for row in self._rows(_REQUESTS):
            own: list[sqlite3.Row] = []
            while ahead is not None and ahead[0] <= row["request_id"]:
                if ahead[0] == row["request_id"]:
                    own = ahead[1]
                else:
                    self._missing(ahead[0], "request of its attempts")
                ahead = next(attempts, None)
            self._request(row, own)
        while ahead is not None:
            self._missing(ahead[0], "request of its attempts")
            ahead = next(attempts, None)
        for request_id, what in self._connection.execute(
            _STRAYS.format(shadow=int(Role.SHADOW), held=int(Arm.HOLDBACK))
        ):
            self._missing(request_id, what)

    def _rows(self, query: str) -> sqlite3.Cursor:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(query)

    def _grouped(self) -> Iterator[Group]:
        """Attempts by request; both come in the order of ids."""
        for request_id, rows in groupby(self._rows(_ATTEMPTS), key=lambda row: bytes(row["request_id"])):
            yield request_id, list(rows)

    def _versions(self) -> None:
        """A version ends with the hash of what it says."""
        for number, body in self._connection.execute("SELECT version, body FROM tariffs"):
            name = self._names.get(number, "")
            self._found.compare(f"tariffs {name!r}", "hash of its body", name.rpartition(" ")[2], hash_of(body))

    def _missing(self, request_id: bytes, what: str) -> None:
        self._found.compare(ulid_text(request_id), what, "missing", "there")

    def _request(self, row: sqlite3.Row, rows: list[sqlite3.Row]) -> None:
        found, where = self._found, ulid_text(row["request_id"])
        found.requests += 1
        found.attempts += len(rows)
        for figure, kept, computed in self._impossible(row, rows):
            found.compare(where, figure, kept, computed)
            return
        for figure, kept, computed in story(row, rows, self._known):
            if figure == "ts_us" and kept != computed and self._clock_was_set(row, computed):
                found.clock_set += 1
            else:
                found.compare(where, figure, kept, computed)
        if row["pi_ppm"] is not None and self._known.keys.get(row["seed_version"]) is None:
            found.undrawn_by_seed[row["seed_version"]] += 1
        held = row["arm"] == Arm.HOLDBACK and row["status"] == Status.OK and row["answered_by"] == row["fallback"]
        found.without_shadow += bool(held and not any(each["role"] == Role.SHADOW for each in rows))
        self._grid(where, row)
        tariffs = self._tariffs.get(row["coefficient_version"])
        if tariffs is None:
            found.unknown_tariffs += 1
        else:
            self._charged(where, row, rows, tariffs)

    def _clock_was_set(self, row: sqlite3.Row, made_us: int) -> bool:
        """Whether others of its run say so: they came at the new time and, if it is later, none soon after the old.

        Where nobody else came at the new time it cannot be told.
        """
        ts_us, boot = row["ts_us"], row["boot"]
        near = (ulid_floor(ts_us - WAIT_US), ulid_floor(ts_us + WAIT_US))
        skipped = (ulid_floor(made_us + WAIT_US), ulid_floor(min(ts_us - WAIT_US, made_us + HOUR_US)))
        there, between = (self._connection.execute(_CAME, (boot, *ends)).fetchone() for ends in (near, skipped))
        return there is not None and between is None

    def _impossible(self, row: sqlite3.Row, rows: list[sqlite3.Row]) -> Iterator[tuple[str, object, object]]:
        """Numbers that stand for nothing; with them nothing else can be computed."""
        for name, kind in (("status", Status), ("role", Role)):
            for each in (row, *rows):
                if each[name] not in set(kind):
                    yield name, each[name], "one of those there are"
        for each in rows:
            if each["energy_method"] not in set(EnergyMethod):
                yield "energy_method", each["energy_method"], "one of those there are"

    def _grid(self, where: str, row: sqlite3.Row) -> None:
        """The yearly figure of a zone is known; one of the user's own file is not."""
        known = yearly_mg_per_kwh(self._names.get(row["grid_version"], ""))
        if known is None:
            self._found.unknown_grids += 1
        else:
            self._found.compare(where, "ci_mg_per_kwh", row["ci_mg_per_kwh"], known)

    def _charged(self, where: str, row: sqlite3.Row, rows: list[sqlite3.Row], tariffs: KeptTariffs) -> None:
        found, ci = self._found, row["ci_mg_per_kwh"] or 0
        found.compare(where, "fallback", self._names.get(row["fallback"]), tariffs.fallback.expert)
        if row["router_method"] == EnergyMethod.MEASURED_SHARE:
            found.measured_own += 1
        else:
            energy_uj = modelled_uj(row["router_cpu_us"], tariffs.uw_per_core)
            found.compare(where, "router_method", row["router_method"], int(EnergyMethod.MODELLED))
            found.compare(where, "router_energy_uj", row["router_energy_uj"], energy_uj)
        found.compare(where, "router_co2_ug", row["router_co2_ug"], co2_ug(row["router_energy_uj"], ci))
        attempts = [self._attempt(each) for each in rows]
        for n, attempt in zip((each["n"] for each in rows), attempts, strict=True):
            self._charges(f"{where}#{n}", attempt, tariffs, ci)
        if row["status"] not in (Status.STARTED, Status.INTERRUPTED):
            heard = [attempt for attempt in attempts if attempt.role not in BESIDE]
            computed = counterfactual(heard, tariffs.fallback, ci)
            for name, figure in zip(("cost_nusd", "energy_uj", "co2_ug"), computed, strict=True):
                found.compare(where, f"counterfactual_{name}", row[f"counterfactual_{name}"], figure)

    def _attempt(self, row: sqlite3.Row) -> Attempt:
        return Attempt(
            expert=self._names.get(row["expert"], ""),
            role=Role(row["role"]),
            status=Status(row["status"]),
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cached_tokens=row["cached_tokens"],
            cache_write_tokens=row["cache_write_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
            cpu_us=row["cpu_us"],
            cost_nusd=row["cost_nusd"],
            price_version=self._names.get(row["price_version"], ""),
            energy_uj=row["energy_uj"],
            energy_method=EnergyMethod(row["energy_method"]),
            co2_ug=row["co2_ug"],
        )

    def _charges(self, where: str, attempt: Attempt, tariffs: KeptTariffs, ci: int) -> None:
        found, charged = self._found, tariffs.of(attempt.expert)
        if attempt.status is Status.INTERRUPTED:
            return  # what it took was never known
        tokens = attempt.input_tokens, attempt.output_tokens, attempt.cached_tokens
        found.compare(where, "price_version", attempt.price_version, charged.price.version)
        money_nusd = cost_nusd(charged.price, *tokens, attempt.cache_write_tokens)
        found.compare(where, "cost_nusd", attempt.cost_nusd, money_nusd)
        if attempt.energy_method is EnergyMethod.MODELLED:
            found.compare(where, "energy_uj", attempt.energy_uj, modelled_uj(attempt.cpu_us, tariffs.uw_per_core))
        elif attempt.energy_method is EnergyMethod.TABLE:
            found.compare(where, "energy_uj", attempt.energy_uj, table_uj(charged.energy, *tokens))
            found.compare(where, "cpu_us", attempt.cpu_us, 0)
        else:
            found.measured += 1
        if attempt.energy_method < EnergyMethod.MEASURED_SHARE and charged.metered in _METHODS:
            found.compare(where, "energy_method", attempt.energy_method, _METHODS[charged.metered])
        found.compare(where, "co2_ug", attempt.co2_ug, co2_ug(attempt.energy_uj, ci))
