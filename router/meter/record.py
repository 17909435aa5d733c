"""What the ledger keeps of a request: plain values, integers wherever something is counted or charged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from msgspec import Struct

from router.decide import Decision
from router.meter.carbon import Intensity
from router.meter.cost import NO_ELECTRICITY, Electricity
from router.meter.money import YUSD_PER_NUSD
from router.reason import Reason
from router.request import ChatRequest


class Status(IntEnum):
    """How a request or an attempt ended."""

    STARTED = 0
    OK = 1
    PARTIAL = 2
    """The answer broke off: the upstream was cut or timed out after the first byte."""
    ERROR = 3
    CANCELLED = 4
    """The client left."""
    INTERRUPTED = 5
    """The server died; found at the next start."""
    UNHEARD = 6
    """Of an attempt alone: the client left before the first word, and what was written by then is unknown."""


class Role(IntEnum):
    """Why an expert was asked."""

    ROUTED = 0
    NAMED = 1
    FALLBACK = 2
    SHADOW = 3
    """Beside the answer, to compare."""
    GRADER = 4
    """To say how good an answer is."""


BESIDE = frozenset({Role.SHADOW, Role.GRADER})  # never part of the answer


class Arm(IntEnum):
    """Which way a request went in the experiment that savings are measured by."""

    NORMAL = 0
    HOLDBACK = 1
    """A small expert was chosen, the fallback answered, and the small path ran beside."""
    OFF = 2
    """Nobody was held back at that time, whoever was chosen; before, of those that a small expert was chosen for."""
    BUSY = 3
    """As OFF, because too many small paths waited to run beside."""
    UNABLE = 4
    """The fallback could not have answered, so that there is nothing to compare; also of requests by name."""
    RESTRICTED = 5
    """Its key may not use the fallback."""
    FAILED = 6
    """The fallback was asked and failed, and another was asked in its place, whatever came of that: alone it would have
    failed too. One that was held back has its draw, and nothing ran beside it."""


DRAWN = frozenset({Arm.NORMAL, Arm.HOLDBACK})
"""Of requests that were drawn, or that the fallback was chosen for while others were."""


class EnergyMethod(IntEnum):
    """Where an energy figure comes from; larger is closer to the truth."""

    TABLE = 0
    MODELLED = 1
    MEASURED_SHARE = 2
    MEASURED = 3

    @property
    def label(self) -> str:
        """The word users read: measured, modelled or table."""
        return SOURCES[self]


SOURCES: Final = ("table", "modelled", "measured", "measured")  # an enumeration takes long to say its names


class Trace(Struct, frozen=True):
    """What is kept of a routed request for the judge to learn from: numbers and, where that is asked for, the text."""

    maker: str
    """What made the numbers: encoder and list of surface features, as one fingerprint."""
    vector: bytes
    surface: bytes
    text: str | None = None
    """Only where the registry says `keep_text: true`."""


class Draw(Struct, frozen=True):
    """How a request that a small expert was chosen for was drawn; of others its arm, and its conversation for later."""

    arm: Arm
    rate_ppm: int | None = None
    """Share of conversations held back at that time."""
    conversation: bytes | None = None
    """8 bytes, keyed; what is drawn together."""
    version: int | None = None
    """Of the key (seeds.py)."""

    @property
    def held(self) -> bool:
        """Whether the fallback answers in the small expert's place."""
        return self.arm is Arm.HOLDBACK


@dataclass(frozen=True, slots=True)
class Terms:
    """What all requests of a registry have in common: what they are charged at, and whom they are compared with."""

    fallback: str
    version: str
    body: str
    """Which prices, watts and joules per token figures were computed with; the ledger keeps it once by its version."""


class Intent(Struct):
    """What is known before the first upstream byte; made durable first."""

    request: ChatRequest
    """Of its body only the model that was asked for is entered, and whether it streams."""
    ts_us: int
    """UTC, microseconds since 1970."""
    decision: Decision
    role: Role
    registry_version: str
    grid: Intensity
    """Every carbon figure of this request was computed with it."""
    terms: Terms
    draw: Draw | None = None
    """None where there was nothing to draw: no small expert was chosen, or the request was not routed."""
    trace: Trace | None = None
    """Kept beside the entry, and for another time."""

    @property
    def request_id(self) -> str:
        """A ULID."""
        return self.request.request_id


@dataclass(slots=True)
class Attempt:
    """One expert asked once."""

    expert: str
    role: Role
    status: Status
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    token_source: str = "none"
    cpu_us: int = 0
    cost_nusd: int = 0
    price_version: str = ""
    """Which price `cost_nusd` was computed with; empty when the expert has none, so that 0 is not taken for free."""
    energy_uj: int = 0
    energy_method: EnergyMethod = EnergyMethod.TABLE
    co2_ug: int = 0
    first_byte_us: int | None = None
    total_us: int = 0
    finish_reason: str | None = None
    error_code: str | None = None
    awaits_counter: bool = False
    """Its energy is the modelled one; what a counter says of it comes later."""


class Outcome(Struct):
    """What is known when a request has ended; closes its `Intent`."""

    request_id: str
    status: Status
    answered_by: str | None
    escalated: str | None = None
    """`before` or `after`, and None when the first choice answered."""
    attempts: list[Attempt] = []
    router_cpu_us: int = 0
    router_energy_uj: int = 0
    router_co2_ug: int = 0
    encode_us: int = 0
    first_byte_us: int | None = None
    total_us: int = 0
    counterfactual_cost_nusd: int = 0
    """Estimate: the same tokens at the fallback's price."""
    counterfactual_energy_uj: int = 0
    counterfactual_co2_ug: int = 0
    error_code: str | None = None
    why: Reason | None = None
    """Of an escalation; None also in entries from before it was kept."""
    electricity: Electricity = NO_ELECTRICITY
    """What the router's own work is charged at. Not kept here: the version of the tariffs has it."""
    arm: Arm | None = None
    """FAILED where it ended so; None leaves the arm that it began with."""
    router_awaits_counter: bool = False
    """The router's energy, carbon and money are the modelled ones; what a counter says of them comes later."""

    @property
    def router_yusd(self) -> int | None:
        """What the electricity of the router's own work cost, in yocto-dollars; None where no price of it is given."""
        return self.electricity.cost_yusd(self.router_energy_uj) if self.electricity.version else None

    @property
    def cost_yusd(self) -> int:
        """Money of every attempt, discarded ones too, and of the router's own work."""
        nusd = 0
        for attempt in self.attempts:  # a generator takes twice as long, and every answer asks
            nusd += attempt.cost_nusd
        return nusd * YUSD_PER_NUSD + (self.router_yusd or 0)

    @property
    def energy_uj(self) -> int:
        """Energy of every attempt and of the router's own work."""
        energy_uj = self.router_energy_uj
        for attempt in self.attempts:
            energy_uj += attempt.energy_uj
        return energy_uj

    @property
    def co2_ug(self) -> int:
        """Carbon of every attempt and of the router's own work."""
        co2_ug = self.router_co2_ug
        for attempt in self.attempts:
            co2_ug += attempt.co2_ug
        return co2_ug


@dataclass(frozen=True, slots=True)
class Pair:
    """How two answers to one request compare."""

    same: bool  # word for word
    small_ppm: int | None = None
    """The grade of the small expert's answer; None where nobody graded."""
    fallback_ppm: int | None = None


@dataclass(slots=True)
class Shadow:
    """The small path of a held-back request, run beside it and noted when it has ended."""

    request_id: str
    attempts: list[Attempt]
    """The small expert's, then those that graded the two answers."""
    pair: Pair | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a client says of an answer; of several for one request the last counts."""

    request_id: str
    ts_us: int
    score_ppm: int
    texts: tuple[str | None, str | None] | None = None
    """The answer it expected and its comment; None where no text is kept."""


@dataclass(slots=True)
class Purge:
    """Forget what is older than these moments (UTC, microseconds since 1970), so many rows of a table at a time."""

    vectors_us: int
    feedback_us: int
    texts_us: int
    removed: int = 0  # rows deleted, set when it is done


@dataclass(slots=True)
class Prune:
    """Delete raw rows, a few at a time, of requests before a moment whose hours are added up; held-back ones stay."""

    before_us: int
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Correction:
    """An attempt, or the router's own work for a request, of which the energy was measured: known a moment later."""

    request_id: str
    n: int | None  # of the attempt; None of the router
    energy_uj: int
    co2_ug: int
    method: EnergyMethod
    also_counterfactual: bool
    """The fallback answered with it, so what the fallback would have taken is the same figure."""
