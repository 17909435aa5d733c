"""What the client is told about how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router.decide import Decision
from router.meter.compared import PPM, LeftOut, left_out
from router.meter.money import YUSD_PER_NUSD, exact_usd, usd
from router.meter.record import Arm, Draw, EnergyMethod, Outcome
from router.meter.tariff import Tariffs
from router.reason import Reason

_NORMAL: Final = Arm.NORMAL
_MODELLED: Final = EnergyMethod.MODELLED
"""Looked up once: an enumeration finds its members more slowly than a module its names."""

_YUSD_PER_PPM_NUSD: Final = YUSD_PER_NUSD // PPM


@dataclass(frozen=True, slots=True)
class Escalation:
    """The fallback answered in another's place."""

    source: str | None
    target: str
    reason: str
    why: Reason
    """The same as one of a few."""
    stage: str = "before"

    def to_json(self) -> dict[str, Any]:
        """The `escalated` object of the contract."""
        return {"from": self.source, "to": self.target, "stage": self.stage, "reason": self.reason}


@dataclass(slots=True)
class Receipt:
    """What the client is told about how it was answered."""

    request_id: str
    expert: str
    decision: Decision
    escalated: Escalation | None
    outcome: Outcome
    tariffs: Tariffs
    measured: bool = False
    """A counter measures an attempt or the router: the ledger's figures of energy and carbon follow a moment later."""
    draw: Draw | None = None

    @property
    def held_back(self) -> bool:
        """The fallback answered so that savings can be verified, though `decision` names a small expert."""
        return self.draw is not None and self.draw.held and self.outcome.arm is None

    @property
    def left_out(self) -> LeftOut | None:
        """Why it is compared with the fallback nowhere, as in reports and the export; None where it is."""
        arm = self.outcome.arm or (_NORMAL if self.draw is None else self.draw.arm)
        return left_out(self.decision.policy is not None, arm, self.outcome.status)

    @property
    def avoidable_usd(self) -> float:
        """The part of its money that would not have been spent had it never come."""
        ppm_nusd = 0
        for attempt in self.outcome.attempts:
            ppm_nusd += attempt.cost_nusd * self.tariffs.of(attempt.expert).avoidable_ppm
        return exact_usd(ppm_nusd * _YUSD_PER_PPM_NUSD + (self.outcome.router_yusd or 0))

    @property
    def energy_source(self) -> str:
        """How its energy is known now: the weakest of what is added up."""
        methods = [attempt.energy_method for attempt in self.outcome.attempts if attempt.energy_uj]
        return (min(methods) if methods else _MODELLED).label

    def to_json(self) -> dict[str, Any]:
        """The `shoal` object of the contract, in the units of the outside: USD, J, g. What nobody knows is null."""
        outcome, fallback, missing, held_back = self.outcome, self.tariffs.fallback, self.left_out, self.held_back
        own_yusd = outcome.router_yusd
        priced = all(attempt.price_version for attempt in outcome.attempts)
        alone_nusd = outcome.counterfactual_cost_nusd if not missing and fallback.price.version else None
        # No answer takes nothing: what the fallback takes inside this process is charged as the router's work.
        alone_uj = 0 if missing else outcome.counterfactual_energy_uj
        avoidable_ppm = self.tariffs.of(fallback.expert).avoidable_ppm
        return {
            "request_id": self.request_id,
            "decision": self.decision.to_json(),
            "held_back": held_back,
            "escalated": self.escalated.to_json() if self.escalated else None,
            "cost_usd": exact_usd(outcome.cost_yusd) if priced else None,
            # Of it the electricity of the router's own work; null where no price of that is given, and then 0 in it.
            "router_cost_usd": None if own_yusd is None else exact_usd(own_yusd),
            "avoidable_usd": self.avoidable_usd if priced else None,
            "energy_j": outcome.energy_uj / 1e6,
            "energy_source": self.energy_source,
            # What runs beside a held-back answer is charged to it too, once it has ended; and the router's electricity
            # follows its energy.
            "cost_final": not (held_back or (outcome.router_awaits_counter and own_yusd is not None)),
            "energy_final": not (self.measured or held_back),
            "co2_g": outcome.co2_ug / 1e6,
            "fallback": {
                "cost_usd": usd(alone_nusd),
                "avoidable_usd": None if alone_nusd is None else alone_nusd * avoidable_ppm / PPM / 1e9,
                "energy_j": alone_uj / 1e6 if alone_uj else None,
                "co2_g": outcome.counterfactual_co2_ug / 1e6 if alone_uj else None,
                "left_out": missing,
                "could_answer": missing not in ("unable", "failed"),
                "estimated": self.expert != fallback.expert,
                "assumed_params_b": fallback.assumed_b,
            },
        }
