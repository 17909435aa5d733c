"""What the client is told about how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router.meter.compared import PPM, left_out
from router.meter.money import exact_usd, whole_usd
from router.meter.record import SOURCES, Arm, EnergyMethod, Intent, Outcome
from router.meter.tariff import Tariffs
from router.reason import Reason

_NORMAL: Final = Arm.NORMAL
_MODELLED: Final = EnergyMethod.MODELLED
"""Looked up once: an enumeration finds its members more slowly than a module its names."""


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

    intent: Intent
    outcome: Outcome
    expert: str
    """Who answered."""
    tariffs: Tariffs
    escalated: Escalation | None = None
    measured: bool = False
    """A counter measures an attempt or the router: the ledger's figures of energy and carbon follow a moment later."""

    @property
    def held_back(self) -> bool:
        """The fallback answered so that savings can be verified, though the decision names a small expert."""
        draw = self.intent.draw
        return draw is not None and draw.held and self.outcome.arm is None

    def to_json(self) -> dict[str, Any]:
        """The `shoal` object of the contract, in the units of the outside: USD, J, g. What nobody knows is null.

        Every answer waits for this: attempts are gone through once, and nothing is asked twice.
        """
        outcome, tariffs, escalated = self.outcome, self.tariffs, self.escalated
        nusd, avoidable_ppm_nusd, priced, method = 0, 0, True, None
        energy_uj, co2_ug = outcome.router_energy_uj, outcome.router_co2_ug
        for attempt in outcome.attempts:
            if not attempt.price_version:
                priced = False
            elif attempt.cost_nusd:
                nusd += attempt.cost_nusd
                avoidable_ppm_nusd += attempt.cost_nusd * tariffs.of(attempt.expert).avoidable_ppm
            co2_ug += attempt.co2_ug
            if attempt.energy_uj:
                energy_uj += attempt.energy_uj
                method = attempt.energy_method if method is None else min(method, attempt.energy_method)
        own_yusd, draw = outcome.router_yusd, self.intent.draw
        held_back = draw is not None and self.held_back
        return {
            "request_id": outcome.request_id,
            "decision": self.intent.decision.to_json(),
            "held_back": held_back,
            "escalated": None if escalated is None else escalated.to_json(),
            "cost_usd": whole_usd(nusd * PPM, own_yusd) if priced else None,
            # Of it the electricity of the router's own work; null where no price of that is given, and then 0 in it.
            "router_cost_usd": None if own_yusd is None else exact_usd(own_yusd),
            # What of it would not have been spent had it never come.
            "avoidable_usd": whole_usd(avoidable_ppm_nusd, own_yusd) if priced else None,
            # Who counted the answer's tokens: its `usage` says what is charged, an estimate where nobody did.
            "token_source": outcome.attempts[-1].token_source if outcome.attempts else "none",
            "energy_j": energy_uj / 1e6,
            # How its energy is known now: the weakest of what is added up.
            "energy_source": SOURCES[_MODELLED if method is None else method],
            # What runs beside a held-back answer is charged to it too, once it has ended; and the router's electricity
            # follows its energy.
            "cost_final": not (held_back or (own_yusd is not None and outcome.router_awaits_counter)),
            "energy_final": not (held_back or self.measured),
            "co2_g": co2_ug / 1e6,
            "fallback": self._alone(),
        }

    def _alone(self) -> dict[str, Any]:
        """What the fallback alone would have taken, or why there is nothing to compare with, as in reports."""
        intent, outcome, fallback = self.intent, self.outcome, self.tariffs.fallback
        arm = outcome.arm or (_NORMAL if intent.draw is None else intent.draw.arm)
        missing = left_out(intent.decision.policy is not None, arm, outcome.status)
        nusd = outcome.counterfactual_cost_nusd if missing is None and fallback.price.version else None
        # No answer takes nothing: what the fallback takes inside this process is charged as the router's work.
        energy_uj = outcome.counterfactual_energy_uj if missing is None else 0
        ppm = self.tariffs.of(fallback.expert).avoidable_ppm if nusd else 0
        return {
            "cost_usd": None if nusd is None else nusd / 1e9,
            "avoidable_usd": None if nusd is None else nusd * ppm / PPM / 1e9,
            "energy_j": energy_uj / 1e6 if energy_uj else None,
            "co2_g": outcome.counterfactual_co2_ug / 1e6 if energy_uj else None,
            "left_out": missing,
            "could_answer": missing != "unable" and missing != "failed",
            "estimated": self.expert != fallback.expert,
            "assumed_params_b": fallback.assumed_b,
        }
