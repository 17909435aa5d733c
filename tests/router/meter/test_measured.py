"""From a counter's reading to the ledger's row: accounts, accounting and a real ledger together."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from experts.errors import ExpertFailed
from experts.wire import Completion, Usage
from router.decide import Decision
from router.meter import export
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.audit import audit
from router.meter.counters.accounting import Accounting
from router.meter.counters.cpu import Clocks
from router.meter.counters.device import idle_power
from router.meter.counters.own import OwnWork
from router.meter.counters.reader import now_ns
from router.meter.device_notes import device_notes
from router.meter.energy import SharedCpuClock
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import EnergyMethod, Outcome, Role
from router.meter.report import report
from router.meter.tariff import Tariffs
from router.meter.totals import Report
from router.meter.ulid import new_ulid
from router.request import ChatRequest
from tests.router.meter.test_accounting import Counter
from tests.router.meter.test_housekeeping import shown
from tests.router.meter.traffic import registry

BODY = {"choices": [{"message": {"content": "SELECT 1"}, "finish_reason": "stop"}]}
DECISION = Decision("sql", 0.9, 0.8, "sql", "balanced", "smallest expert above its threshold")


@dataclass
class Machine:
    """A processor whose counter and CPU times the test moves."""

    ledger: Ledger
    uj: int = 0
    cpu: dict[str, int] = field(default_factory=lambda: {"sql": 0, "router": 0, "machine": 0})
    closed: list[Outcome] = field(default_factory=list)
    """What others than the ledger are told of."""
    settled: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        own, sql = SharedCpuClock(lambda: self.cpu["router"]), SharedCpuClock(lambda: self.cpu["sql"])
        clocks = Clocks(self.cpu.get, lambda: self.cpu["router"], lambda: self.cpu["machine"])
        self.counters = Accounting(
            [Counter("cpu", [None], EnergyMethod.MEASURED_SHARE)], clocks, self.ledger.measured, lambda: 400_000,
            idle={"cpu": idle_power("cpu", 0.0)}, pue=1.2,
            settled=lambda *told: self.settled.append(told), own=OwnWork(own),
        )  # fmt: skip
        self.books = Books(
            self.ledger,
            lambda _: "upstream_error",
            own,
            lambda _: sql,
            lambda _, outcome: self.closed.append(outcome),
            self.counters,
        )
        self.read()

    def read(self) -> None:
        """The counter is read."""
        self.counters.take([self.counters.note("cpu", now_ns(), [self.uj])])

    def work(self, uj: int, **cpu_ns: int) -> None:
        """The machine takes energy, and programs CPU time."""
        self.uj += uj
        for name, ns in cpu_ns.items():
            self.cpu[name] += ns


async def test_a_row_says_modelled_first_and_measured_a_moment_later(path: Path) -> None:
    ledger = Ledger.open(path)
    machine, tariffs = Machine(ledger), Tariffs.of_registry(registry())
    steps = (Step("sql", Role.ROUTED), Step("big", Role.FALLBACK))
    request = ChatRequest(new_ulid(), {"model": "auto", "messages": [{"role": "user", "content": "count users"}]})
    account = Account(machine.books, tariffs, request, DECISION, steps, "1", None, machine.books.start())
    async with account:
        for attempt in account.attempts():
            with attempt:
                if attempt.step.expert == "sql":
                    machine.work(9_000_000, sql=600_000_000, router=100_000_000, machine=900_000_000)
                    raise ExpertFailed("sql", "broke")
                attempt.completed(Completion(BODY, Usage(12, 6, source="upstream")))
        receipt, written = account.close()
        await written
    told = receipt.to_json()
    assert told["energy_source"] in ("modelled", "table")
    assert told["energy_final"] is False, "a counter measures it, and the row says so a moment later"
    assert told["cost_final"] is False, "the router's electricity follows its energy"
    assert [attempt.awaits_counter for attempt in machine.closed[0].attempts] == [True, False]
    assert machine.closed[0].router_awaits_counter
    assert machine.closed[0].router_energy_uj == 230_400, "modelled: .1 s at 1.92 W, and a fifth for the building"
    assert machine.settled == []
    machine.work(1_000_000, router=100_000_000, machine=100_000_000)  # for no request
    machine.read()
    machine.counters.tell()
    await ledger.aclose()
    assert [told[:3] for told in machine.settled] == [
        ("sql", EnergyMethod.MEASURED_SHARE, 7_200_000), (None, EnergyMethod.MEASURED_SHARE, 1_200_000),
    ]  # fmt: skip
    with closing(read_ledger(path)) as connection:
        rows = connection.execute("SELECT n, energy_uj, energy_method FROM attempts ORDER BY n").fetchall()
        found, checked = report(connection, None, None), audit(connection)
        exported = {row["SkuId"]: row for row in export.rows(connection, None, None, {})}
    assert rows[0] == (0, 6_000_000 * 12 // 10, int(EnergyMethod.MEASURED_SHARE))
    assert rows[1][2] == int(EnergyMethod.TABLE), "no counter of this machine saw the other"
    assert checked.by_figure == {}
    assert (checked.measured, checked.measured_own) == (1, 1)
    assert machine.settled[1][-1] == found.router.router_yusd == tariffs.electricity.cost_yusd(1_200_000)
    assert exported["router"]["x_energy_source"] == "measured"
    device = found.idle.devices["cpu"]
    assert (device.counter_uj, device.other_uj, device.energy_uj) == (10_000_000, 2_000_000, 0)
    said = found.to_json()
    assert said["idle"]["cpu"]["counter_parts_j"] == {"attempts": 6.0, "router": 2.0, "idle": 0.0, "other": 2.0}
    assert said["router"]["by_counter_j"] == 2.4, "with what the building takes"
    assert said["router"]["energy_j"] == said["router"]["beyond_charged_j"] == 1.2
    assert said["router"]["energy_by_method"] == {"measured": 1.2}
    text = shown(found)
    assert "The counter of cpu gave 2.78 mWh: 1.67 mWh attempts, 0.556 mWh router, 0 Wh idle, 0.556 mWh others." in text
    assert (
        "the router's own work: 333 µWh measured. Counters say 667 µWh, its work for no request in it: 333 µWh more."
        in text
    )
    assert said["energy_by_method"].keys() == {"measured", "table"}


def test_what_counters_say_of_the_router_before_any_request_is_a_whole_sentence() -> None:
    found = Report(None, None, None)
    found.idle.add("cpu", int(EnergyMethod.MEASURED_SHARE), (12, 3, 4, 0, 0, 5, 3, 6))
    (_, _, told) = device_notes(found)
    assert told == (
        "Requests are charged for the router's own work: nothing. Counters say 1.67 nWh, its work for no request in "
        "it: 1.67 nWh more."
    )


def test_where_a_cards_joules_went_is_told_as_those_of_a_processor() -> None:
    found = Report(None, None, None)
    found.idle.add("gpu:0", int(EnergyMethod.MEASURED), (29_840_943, 24_687_588, 0, 0, 0, 0, 24_687_588, 0))
    found.idle.add("gpu:1", int(EnergyMethod.MEASURED), (3_600_000, 3_600_000, 0, 0, 0, 0, 3_600_000, 0))
    assert device_notes(found) == [
        "Idle gpu:0, in no sum above: 6.86 mWh (measured).",
        "Idle gpu:1, in no sum above: 1 mWh (measured).",
        "The counter of gpu:0 gave 8.29 mWh: 1.43 mWh attempts, 0 Wh router, 6.86 mWh idle, 0 Wh others.",
    ]


async def test_energy_that_is_missing_from_the_rows_is_found(path: Path) -> None:
    ledger = Ledger.open(path)
    machine, tariffs = Machine(ledger), Tariffs.of_registry(registry())
    request = ChatRequest(new_ulid(), {"model": "sql", "messages": [{"role": "user", "content": "count users"}]})
    steps = (Step("sql", Role.NAMED),)
    async with Account(machine.books, tariffs, request, DECISION, steps, "1", None, machine.books.start()) as account:
        for attempt in account.attempts():
            with attempt:
                machine.work(5_000_000, sql=500_000_000, machine=500_000_000)
                attempt.completed(Completion(BODY, Usage(12, 6, source="upstream")))
        await account.close()[1]
    machine.read()
    machine.counters.tell()
    await ledger.aclose()
    for table, figure in (("attempts", "energy_uj"), ("requests", "router_energy_uj")):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {figure} = {figure} - 1")  # noqa: S608 (constants)
        with closing(read_ledger(path)) as connection:
            assert "measured energy of requests, in uJ" in audit(connection).by_figure
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {figure} = {figure} + 1")  # noqa: S608 (constants)
    with closing(read_ledger(path)) as connection:
        assert audit(connection).by_figure == {}
