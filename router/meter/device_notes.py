"""What a report says of devices, in words: it is in no request's figure."""

from __future__ import annotations

from datetime import UTC, datetime

from router.meter.idle import Idle
from router.meter.totals import LOADING, Report
from router.meter.units import watt_hours


def device_notes(found: Report) -> list[str]:
    """What devices took while nobody asked them, how far that is known, and where a counter's joules went."""
    known_us = found.idle.known_until_us
    upto = "" if known_us is None else f", up to {datetime.fromtimestamp(known_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
    notes = [
        f"{'Loading experts' if name == LOADING else f'Idle {name}'}, in no sum above: "
        f"{watt_hours(each.energy_uj)} ({each.method.label}{upto})."
        for name, each in sorted(found.idle.devices.items())
        if each.energy_uj
    ]
    notes += [
        _parts(name, each) for name, each in sorted(found.idle.devices.items()) if each.router_uj or each.attempts_uj
    ]
    notes += _router(found)
    if found.idle.divided:
        notes.append("Of an hour of which only the sum is kept idle energy is told as if it had come evenly.")
    return notes


def _parts(name: str, each: Idle) -> str:
    """Where the energy of a counter went."""
    parts = {"attempts": each.attempts_uj, "router": each.router_uj, "idle": each.resting_uj, "others": each.other_uj}
    told = ", ".join(f"{watt_hours(uj, each.counter_uj)} {part}" for part, uj in parts.items())
    return f"The counter of {name} gave {watt_hours(each.counter_uj)}: {told}."


def _router(found: Report) -> list[str]:
    """What of the router's process requests are charged, and what it did for none of them."""
    if (by_counter := found.idle.router_uj) is None:
        return []
    charged = ", ".join(
        f"{watt_hours(energy_uj, by_counter)} {label}"
        for label, energy_uj in sorted(found.router_by_label.items())
        if energy_uj
    )
    beyond_uj = by_counter - found.router.energy_uj
    beyond = f"{watt_hours(abs(beyond_uj), by_counter)} {'more' if beyond_uj >= 0 else 'less'}"
    return [
        f"Requests are charged for the router's own work: {charged or 'nothing'}. Counters say "
        f"{watt_hours(by_counter)}, its work for no request in it: {beyond}."
    ]
