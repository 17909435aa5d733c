"""From how many requests a day an expert pays for what it holds, against the fallback alone. Pure.

An expert that is kept ready holds something whether it is asked or not: memory, a card that idles, a machine that is
paid for. It pays where what its answers save, beside the fallback, is more than that (energy: idle watts over joules
saved a request; money: dollars a day over dollars saved a request). What they save is measured where enough of them
were held back, with an interval, and else the same-token guess, which has none and says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from experts.hardware import Hardware
from experts.spec import AnySpec, Power
from router.meter.compared import Compared
from router.meter.cost import Hourly
from router.meter.savings import Standing

RAM_W_PER_GB: Final = 0.392
"""Of memory that is merely kept filled (Cloud Carbon Footprint's coefficient, 10^9 bytes)."""

CPU: Final = "cpu"
"""The device that idles for the whole machine and for no expert."""

_IDLE_UNKNOWN: Final = "whose idle power nobody declared"
_UNCOMPARED: Final = (
    "none of its answers is compared with the fallback (those by name, for embeddings and to grade never are)"
)
_MIB: Final = 1_048_576
_DAY_S: Final = 86_400
_SAVED: Final = "energy_j", "avoidable_usd"
"""Of money only what stays in the pocket: what is paid in any case is not saved."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What an expert takes while nobody asks it."""

    watts: float | None
    """None where it is not known."""
    usd_per_day: float | None
    told: str
    remedy: str = ""
    """What would have to be declared for the watts to be known."""


def ram_w(memory_mb: int) -> float:
    """Watts of keeping so many MiB filled."""
    return memory_mb * _MIB / 1e9 * RAM_W_PER_GB


def holding(spec: AnySpec, power: Power, device_w: Mapping[str, float]) -> Holding:
    """What `spec` holds. `device_w` gives each measured device's idle watts, an expert's share of them."""
    capacity, memory_mb = getattr(spec, "capacity", "router"), getattr(spec, "memory_mb", 0)
    if capacity == "router":
        return Holding(0.0, 0.0, "nothing of its own: it lives in the router")
    if capacity != "fixed":
        return Holding(0.0, 0.0, f"nothing: its capacity is '{capacity}', so what is not asked is not paid")
    on_card = spec.device if spec.device and spec.device != CPU else None
    if spec.hardware is not None:
        return _owned(spec.hardware, power)
    if not memory_mb:
        return Holding(None, None, f"a server {_IDLE_UNKNOWN} ('hardware.idle_w' in registry.yaml)")
    kept_w = ram_w(memory_mb) * power.pue
    if on_card is None:
        return Holding(kept_w, None, "its memory, at a cost that nobody declared ('hardware' in registry.yaml)")
    if on_card not in device_w:
        return Holding(None, None, f"{on_card}, whose idle power was not measured in this period")
    return Holding(kept_w + device_w[on_card], None, f"its memory and its share of {on_card} while that idles")


def _owned(machine: Hardware, power: Power) -> Holding:
    """A machine of one's own or by the hour, which is there whether it works or not."""
    machine_usd = Hourly.of(machine, power.pue).machine_usd * 24
    if machine.idle_w is None:
        return Holding(
            None, machine_usd, f"a machine {_IDLE_UNKNOWN}", ": give 'idle_w' under its 'hardware' in registry.yaml"
        )
    watts = machine.idle_w * power.pue
    return Holding(watts, machine_usd + watts / 1000 * 24 * machine.usd_per_kwh, "a machine of its own")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """None where it has no such end, both where it is a guess."""


def break_even(
    held: Holding, taken: Compared, days: float, priced: Collection[str] = (), *, asked: bool = False,
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Of an expert that answered so many requests in `days`: what they took beside what the fallback would have.

    `priced` names the experts that have a price now, whatever they had then; `asked` says that it was at work.
    `measured` is what its answers saved by those held back (`by_group.saved_by_answers`); None where too few were.
    """
    requests, of = taken.requests, measured or taken.to_json()
    saved_j, saved_usd = (_per_answer(of, name) for name in _SAVED)
    joules = None if held.watts is None else held.watts * _DAY_S
    rate = requests / days if days > 0 else 0.0
    return {
        "holds": held.told,
        "idle_w": held.watts,
        "requests_per_day": rate,
        "held_back": measured["held_back"] if measured else 0,
        "standing": str(measured["standing"] if measured else Standing.UNVERIFIED),
        "measured_on": {"requests": measured["requests"], "of": measured["of"]} if measured else None,
        "saved_by": saved_by(measured) if requests else None,
        "energy": _side(joules, saved_j, rate, _why(held.watts, taken, asked, held.remedy)) | _saved_json(saved_j, "j"),
        "money": _side(held.usd_per_day, saved_usd, rate, _why_money(held.usd_per_day, taken, asked, priced))
        | {"held_usd_per_day": held.usd_per_day, **_saved_json(saved_usd, "usd")},
    }


def saved_by(measured: Mapping[str, Any] | None) -> str:
    """Whose word it is what an answer saves, and of how many answers where that is not of all."""
    if measured is None:
        return "by the same tokens, not verified"
    sure = ", provisional" if measured["standing"] == Standing.PROVISIONAL else ""
    part = measured["requests"] < measured["of"]
    on = f", on {measured['requests']:,} of {measured['of']:,} answers" if part else ""
    return f"by {measured['held_back']:,} held back{sure}{on}"


def _per_answer(told: Mapping[str, Any], name: str) -> Interval:
    """Of what was saved on some answers together."""
    count = told["requests"]
    if not count or told[name] is None:
        return Interval(None)
    return Interval(told[name] / count, *(told[end][name] / count for end in ("low", "high") if end in told))


def _saved_json(saves: Interval, unit: str) -> dict[str, float | None]:
    return {
        f"saved_{unit}_per_request": saves.value,
        f"saved_{unit}_low": saves.low,
        f"saved_{unit}_high": saves.high,
    }


def _side(held_per_day: float | None, saves: Interval, rate: float, why: str | None) -> dict[str, Any]:
    """Requests a day from which it pays: None where that is not known, and why, or where there is no such number."""
    if held_per_day is None and _surely_nothing(saves):
        needed, pays, unknown = Interval(None), False, None  # whatever it holds, that is no less than nothing
    elif held_per_day is None or saves.value is None:
        needed, pays, unknown = Interval(None), None, why
    else:
        # The more an answer saves, the fewer are needed; where it may save nothing, no number is surely enough.
        ends = (_needed(held_per_day, saved) for saved in (saves.value, saves.high, saves.low))
        needed, pays, unknown = Interval(*ends), _pays(held_per_day, saves, rate), None
    return {
        "needed_per_day": needed.value,
        "needed_low": needed.low,
        "needed_high": needed.high,
        "pays": pays,
        "undecided": pays is None and saves.value is not None and held_per_day is not None,
        "unknown": unknown,
    }


def _surely_nothing(saves: Interval) -> bool:
    """Whether an answer saves nothing, by all of the interval where there is one."""
    most = saves.value if saves.high is None else saves.high
    return most is not None and most <= 0


def _needed(held_per_day: float, saved: float | None) -> float | None:
    return None if saved is None or saved <= 0 else held_per_day / saved


def _pays(held_per_day: float, saves: Interval, rate: float) -> bool | None:
    """Whether so many requests a day are enough; None where the interval does not decide."""

    def enough(saved: float | None) -> bool:
        needed = _needed(held_per_day, saved)
        return needed is not None and rate >= needed

    if saves.low is None:
        return enough(saves.value)
    return True if enough(saves.low) else None if enough(saves.high) else False


def _why(held: float | None, taken: Compared, asked: bool, remedy: str = "") -> str | None:
    """Why it is not known whether an expert pays; None where it is."""
    if not taken.requests:
        return _UNCOMPARED if asked else "nobody asked it in this period"
    return f"what it holds is not known{remedy}" if held is None else None


def _why_money(held: float | None, taken: Compared, asked: bool, priced: Collection[str]) -> str | None:
    """The same of money. What has a price by now needs none: only the time before it cannot be told."""
    if taken.requests and taken.alone.unpriced:
        return "the fallback had no price"
    if taken.requests and taken.without_price:
        lacking = sorted(taken.without_price - set(priced))
        if lacking:
            return f"no price of {', '.join(lacking)}"
        return f"{', '.join(sorted(taken.without_price))} had no price at some time of this period, but has one now"
    return _why(held, taken, asked)
