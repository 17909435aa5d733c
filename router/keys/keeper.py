"""Keeps the ring of a running server true: keys made and revoked elsewhere, budgets spent by others or before."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Final, Self

from experts.errors import ShoalError
from router.chore import chore
from router.keys.ring import REFRESH_S, KeyRing
from router.meter.hours_schema import DAY_US
from router.meter.kept import electricity, kept_tariffs
from router.meter.money import YUSD_PER_NUSD
from router.meter.steady import utc_us

log = logging.getLogger("shoal.keys")

LEAST_PAUSE_S: Final = 2.0
SHARE_OF_TIME: Final = 0.02
"""Of one core at most goes into reading other processes' spending: a long question is asked less often."""

SPENT: Final = """
SELECT names.name, version, SUM(cost), SUM(own), SUM(energy) FROM (
    SELECT key, coefficient_version AS version, 0 AS cost, router_energy_uj AS own, 0 AS energy
    FROM requests WHERE ts_us >= :since AND key IS NOT NULL
    UNION ALL
    SELECT key, coefficient_version, cost_nusd, 0, energy_uj FROM requests JOIN attempts USING (request_id)
    WHERE ts_us >= :since AND key IS NOT NULL
) JOIN names ON names.id = key GROUP BY key, version
"""


def spending(connection: sqlite3.Connection, since_us: int) -> dict[str, tuple[int, int]]:
    """What keys have spent since then, by their ids: yocto-dollars and microjoules, the router's own work included."""
    tariffs, found = kept_tariffs(connection), dict[str, tuple[int, int]]()
    for name, version, cost_nusd, own_uj, energy_uj in connection.execute(SPENT, {"since": since_us}):
        yusd, uj = found.get(name, (0, 0))
        yusd += cost_nusd * YUSD_PER_NUSD + electricity(tariffs.get(version)).cost_yusd(own_uj)
        found[name] = yusd, uj + own_uj + energy_uj
    return found


class Keeper:
    """`async with` it while serving. `ledger` opens a connection for reading."""

    def __init__(self, ring: KeyRing, ledger: Callable[[], sqlite3.Connection]) -> None:
        self._ring = ring
        self._ledger = ledger
        self._known: frozenset[str] = frozenset()
        self._next_look_s = 0.0

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._look)
        self._task = asyncio.create_task(chore("keys are not kept up to date", self._keep, REFRESH_S), name="keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._tell(at_once=True)
        self._ring.close()

    async def _keep(self) -> None:
        await asyncio.to_thread(self._look)
        self._tell()

    def _tell(self, at_once: bool = False) -> None:
        if news := self._ring.strangers.news(at_once):
            log.warning(news)

    def _look(self) -> None:
        self._ring.refresh()
        budgeted = frozenset(caller.id for caller in self._ring.budgeted())
        if budgeted - self._known or (budgeted and time.monotonic() >= self._next_look_s):
            self._read_spending(budgeted)

    def _read_spending(self, budgeted: Iterable[str]) -> None:
        started = time.monotonic()
        day = utc_us() // DAY_US
        for caller in self._ring.budgeted():
            caller.spend.look()
        try:
            with closing(self._ledger()) as connection:
                spent = spending(connection, day * DAY_US)
        except (ShoalError, sqlite3.Error) as error:
            log.error("what keys have spent today cannot be read: %s", error)
            spent = {}
        else:
            self._known = frozenset(budgeted)
        for caller in self._ring.budgeted():
            if caller.id in spent:
                caller.spend.take_over(day, *spent[caller.id])
        ended = time.monotonic()
        self._next_look_s = ended + max(LEAST_PAUSE_S, (ended - started) / SHARE_OF_TIME)
