"""Makes the traces of this folder: python tests/router/meter/traces/make.py

A small simulated machine: an engine reads one prompt at a time and then gives every sequence under way a token a step,
a device takes its idle power and more while the engine works, and its counter is read about ten times a second. What
every request really took is written at the end, for the tests to compare with.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEP_NS = 5_000_000
SECONDS = 20
HERE = Path(__file__).parent


@dataclass
class Request:
    """One request; tokens are counted down to nothing."""

    name: str
    expert: str
    begin_ns: int
    prompt: int
    output: int
    stream: bool
    read: float = 0.0
    said: float = 0.0
    uj: float = 0.0
    begun: bool = False
    ended: bool = False


@dataclass
class Machine:
    """What is simulated, and what is wrong with it."""

    device: str
    idle_w: float
    busy_w: float
    experts: tuple[str, ...]
    requests: int
    range_uj: int | None = None
    missed: float = 0.0
    gap_s: tuple[float, float] = (0.0, 0.0)
    """No reading succeeds in between."""
    reset_s: float = 0.0
    begin_s: int = 2
    """Until then nobody asks."""
    moves_ns: int = STEP_NS
    """How often the counter moves."""
    late_ns: int = 0
    """And what it then shows is as old as this."""
    load_s: float = 0.0
    """When the model is loaded, from which on the device takes more for doing nothing."""
    loaded_w: float = 0.0
    others_w: float = 0.0
    """Of other programs, who use a core three seconds of six."""
    router_w: float = 0.0
    """Of the router's process while it has a core: 4 ms for each request that comes, .1 ms of every step for those who
    are there, and two seconds of four .2 ms of it for nobody."""
    prompt_per_s: float = 8000.0
    tokens_per_s: float = 40.0
    events: list[dict[str, Any]] = field(default_factory=list)


def run(machine: Machine, seed: int) -> list[dict[str, Any]]:
    """Simulate; the events in order, the truth last."""
    draw = random.Random(seed)  # noqa: S311
    begin_ns, spread_ns = machine.begin_s * 10**9, (SECONDS - 7 - machine.begin_s) * 10**9
    waiting = [
        Request(
            f"{n}", draw.choice(machine.experts), begin_ns + draw.randrange(spread_ns),
            draw.randrange(50, 1500), draw.randrange(60, 250), draw.random() < 0.7,
        )
        for n in range(machine.requests)
    ]  # fmt: skip
    cpu = dict.fromkeys([*(f"expert {name}" for name in machine.experts), "router", "machine"], 0)
    total = counter = 0.0
    shown: list[float] = []
    truth = {"idle_uj": 0.0, "other_uj": 0.0, "router_uj": 0.0}
    truth |= {"router_for_requests_uj": 0.0} if machine.router_w else {}
    sample_at = 0
    for now in range(0, SECONDS * 10**9, STEP_NS):
        shown.append(counter)
        if now >= sample_at:
            moved_ns = max(0, now // machine.moves_ns * machine.moves_ns - machine.late_ns)
            machine.events.append(_sample(machine, draw, now, shown[moved_ns // STEP_NS], cpu))
            sample_at += 100_000_000 + draw.randrange(-4, 5) * 1_000_000
        came = [request for request in waiting if not request.begun and now >= request.begin_ns]
        for request in came:
            request.begun = True
            told = {"id": request.name, "expert": request.expert, "prompt": request.prompt}
            machine.events.append({"t": now, "event": "begin"} | told | _router(machine, cpu))
        there = [request for request in waiting if request.begun and not request.ended]
        idle_w = machine.loaded_w if machine.loaded_w and now >= machine.load_s * 1e9 else machine.idle_w
        took = idle_w * STEP_NS / 1000
        truth["idle_uj"] += took
        if machine.router_w:
            for_nobody_ns = 200_000 if now % 4_000_000_000 >= 2 * 10**9 else 0
            own_ns = 4_000_000 * len(came) + 100_000 * len(there) + for_nobody_ns
            cpu["router"], cpu["machine"] = cpu["router"] + own_ns, cpu["machine"] + own_ns
            truth["router_uj"] += machine.router_w * own_ns / 1000
            truth["router_for_requests_uj"] += machine.router_w * own_ns / 1000 if there else 0
            took += machine.router_w * own_ns / 1000
        took += _work(machine, now, there, cpu)
        if machine.others_w and now % 6_000_000_000 >= 3 * 10**9:
            cpu["machine"] += STEP_NS
            truth["other_uj"] += machine.others_w * STEP_NS / 1000
            took += machine.others_w * STEP_NS / 1000
        total, counter = total + took, counter + took
        if machine.reset_s and now // STEP_NS == round(machine.reset_s * 1e9) // STEP_NS:
            counter = 0.0
    machine.events.append(_sample(machine, draw, SECONDS * 10**9, counter, cpu, always=True))
    told = {"energy_uj": total, **truth, "requests": {r.name: r.uj for r in waiting}}
    return [*machine.events, {"t": SECONDS * 10**9, "event": "truth", **told}]


def _work(machine: Machine, now: int, active: list[Request], cpu: dict[str, int]) -> float:
    """One step of every expert's engine; the microjoules above idle."""
    took = 0.0
    for expert in machine.experts:
        own = [request for request in active if request.expert == expert]
        if not own:
            continue
        cpu[f"expert {expert}"] += STEP_NS
        cpu["machine"] += STEP_NS
        step = machine.busy_w * STEP_NS / 1000
        took += step
        reading = next((request for request in own if request.read < request.prompt), None)
        if reading is not None:
            reading.read += machine.prompt_per_s * STEP_NS / 1e9
            reading.uj += step
            continue
        for request in own:
            before = int(request.said)
            request.said += machine.tokens_per_s * STEP_NS / 1e9
            request.uj += step / len(own)
            said = min(int(request.said), request.output)
            if request.stream and said // 4 > before // 4:
                machine.events.append({"t": now, "event": "heard", "id": request.name, "tokens": said})
            if request.said >= request.output:
                request.ended = True
                told = {"input": request.prompt, "output": request.output}
                machine.events.append({"t": now, "event": "end", "id": request.name} | told | _router(machine, cpu))
    return took


def _router(machine: Machine, cpu: dict[str, int]) -> dict[str, int]:
    """The router's CPU time at a moment, where it works at all."""
    return {"router": cpu["router"]} if machine.router_w else {}


def _sample(
    machine: Machine, draw: random.Random, now: int, counter: float, cpu: dict[str, int], *, always: bool = False
) -> dict[str, Any]:
    begin, end = machine.gap_s
    lost = not always and (draw.random() < machine.missed or begin * 1e9 < now < end * 1e9)
    raw = round(counter) % machine.range_uj if machine.range_uj else round(counter)
    return {"t": now, "event": "sample", "raw": None if lost else [raw], "cpu": dict(cpu)}


MACHINES = {
    "card_overlapping": (Machine("gpu:0", 70, 260, ("big",), 14), 1),
    "card_missed": (Machine("gpu:0", 70, 260, ("big",), 14, missed=0.15, gap_s=(7.0, 8.5)), 2),
    "card_reset": (Machine("gpu:0", 70, 260, ("big",), 14, reset_s=9.33), 3),
    "card_two_experts": (Machine("gpu:0", 70, 130, ("big", "small"), 16), 5),
    "card_in_steps": (
        Machine(
            "gpu:0",
            70,
            260,
            ("big",),
            14,
            moves_ns=100_000_000,
            late_ns=100_000_000,
            load_s=1.2,
            loaded_w=115,
            begin_s=6,
        ),
        2,
    ),
    "processor_wrapping": (Machine("cpu", 9, 14, ("one", "two"), 12, range_uj=65_000_000, others_w=12), 4),
    "processor_restarting": (
        Machine("cpu", 9, 14, ("one", "two"), 12, range_uj=262_143_328_850, others_w=12, reset_s=9.33),
        4,
    ),
    "processor_router": (Machine("cpu", 9, 14, ("one",), 7, others_w=14, router_w=14), 6),
}

if __name__ == "__main__":
    for name, (made, seed) in MACHINES.items():
        lines = [json.dumps({"device": made.device, "range_uj": made.range_uj}), *map(json.dumps, run(made, seed))]
        (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
