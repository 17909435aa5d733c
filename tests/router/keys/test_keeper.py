"""What keys have spent, read from a real ledger while serving."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from router.keys import file, keeper
from router.keys.errors import BudgetSpent
from router.keys.keeper import Keeper
from router.keys.key import Grant, Key
from router.keys.ring import KeyRing
from router.meter.devices import Measured
from router.meter.ledger import Ledger
from router.meter.record import Correction, EnergyMethod
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome

NOON_US = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1e6)


async def test_a_budget_in_joules_goes_by_what_a_counter_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "utc_us", lambda: NOON_US)
    path = tmp_path / "keys.sqlite"
    secret, made = file.create(path, Key(b"", "shop", grant=Grant(budget_uj_per_day=1000)))
    keys, ledger = KeyRing([], "", path, lambda: NOON_US), Ledger.open(tmp_path / "ledger.sqlite")
    keys.refresh()
    caller = keys.admit(("inference",), secret.encode(), "here")
    begun = make_intent(key_id=made.id, ts_us=NOON_US)
    modelled = make_outcome(begun.request_id, router_energy_uj=0, attempts=[make_attempt(energy_uj=1500)])
    await ledger.begin(begun)
    await ledger.finish(modelled)
    keys.charge(made.id, 0, 0, modelled.energy_uj)
    with pytest.raises(BudgetSpent, match="J"):
        caller.enter(0)
    async with Keeper(keys, ledger.read):
        assert caller.spend.energy_uj == 1500
    ledger.measured(Measured([Correction(begun.request_id, 0, 400, 1, EnergyMethod.MEASURED, False)], []))
    await ledger.begin(make_intent())  # written behind it
    async with Keeper(keys, ledger.read):
        assert caller.spend.energy_uj == 400
        caller.enter(0)
    await ledger.aclose()
