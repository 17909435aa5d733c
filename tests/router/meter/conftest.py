"""Ledger entries for the tests of the meter."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.decide import Decision
from router.meter.carbon import Intensity
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome, Role, Status, Terms
from router.meter.ulid import new_ulid
from router.request import ChatRequest
from tests.router.meter.traffic import add_up_all, fill_everything


def make_intent(**changes: object) -> Intent:
    """A routed request that begins now; `changes` are of it, of its decision or of its terms."""
    decision: dict[str, Any] = {
        "expert": "sql", "probability": 0.93, "threshold": 0.81, "label": "text-to-sql", "policy": "balanced",
        "reason": "a reason", "known": 0.512345,
    }  # fmt: skip
    terms: dict[str, Any] = {"fallback": "chat", "version": "1.92 W/core 2026-03-09", "body": ""}
    for part in (decision, terms):
        part |= {name: changes.pop(name) for name in part.keys() & changes.keys()}
    request = ChatRequest(
        changes.pop("request_id", None) or new_ulid(),
        {"model": changes.pop("requested_model", "auto"), "stream": changes.pop("stream", False)},
        changes.pop("key_id", "team-a"),
        changes.pop("retry_count", 0),
        endpoint=changes.pop("endpoint", "/v1/chat/completions"),
    )
    values: dict[str, object] = {
        "ts_us": time.time_ns() // 1000,
        "decision": Decision(**decision),
        "role": Role.ROUTED,
        "registry_version": "3f2a9c",
        "grid": Intensity("WOR 2025", 458_290),
        "terms": Terms(**terms),
        **changes,
    }
    return Intent(request, **values)  # type: ignore[arg-type]


def make_attempt(**changes: object) -> Attempt:
    """An attempt that answered."""
    values: dict[str, object] = {
        "expert": "sql",
        "role": Role.ROUTED,
        "status": Status.OK,
        "input_tokens": 120,
        "output_tokens": 80,
        "token_source": "upstream",
        "cpu_us": 123_456,
        "cost_nusd": 12_345,
        "price_version": "list 2026-01-01",
        "energy_uj": 912_345,
        "energy_method": EnergyMethod.MODELLED,
        "co2_ug": 116,
        "first_byte_us": 45_678,
        "total_us": 1_234_567,
        "finish_reason": "stop",
        **changes,
    }
    return Attempt(**values)  # type: ignore[arg-type]


def make_outcome(request_id: str, **changes: object) -> Outcome:
    """The request went well at the first attempt."""
    values: dict[str, object] = {
        "status": Status.OK,
        "answered_by": "sql",
        "attempts": [make_attempt()],
        "router_cpu_us": 150,
        "router_energy_uj": 288,
        "router_co2_ug": 0,
        "encode_us": 700,
        "first_byte_us": 45_678,
        "total_us": 1_234_567,
        "counterfactual_cost_nusd": 54_321,
        "counterfactual_energy_uj": 2_291_234,
        "counterfactual_co2_ug": 292,
        **changes,
    }
    return Outcome(request_id, **values)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a new ledger goes."""
    return tmp_path / "data" / "ledger.db"


@pytest.fixture
def intent() -> Callable[..., Intent]:
    """Makes a request that begins now."""
    return make_intent


@pytest.fixture
def attempt() -> Callable[..., Attempt]:
    """Makes an attempt that answered."""
    return make_attempt


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """Makes the good end of a request."""
    return make_outcome


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with rows in every table, nothing of it added up; to be copied."""
    path = tmp_path_factory.mktemp("fresh") / "ledger.db"
    asyncio.run(fill_everything(path))
    return path


@pytest.fixture(scope="session")
def everything(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, all of it added up; to be copied."""
    path = tmp_path_factory.mktemp("everything") / "ledger.db"
    shutil.copy(fresh, path)
    asyncio.run(add_up_all(path))
    return path
