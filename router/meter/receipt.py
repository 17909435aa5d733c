"""What the client is told about how it was answered."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from router.meter.compared import left_out
from router.meter.money import exact_usd, whole_usd
from router.meter.ppm import PPM
from router.meter.record import SOURCES, Arm, EnergyMethod, Intent, Outcome
from router.meter.tariff import Tariffs
from router.reason import Reason

_NORMAL: Final = Arm.NORMAL
"""Looked up once: an enumeration finds its members more slowly than a module its names."""


class Escalation(Struct, frozen=True):
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


class Receipt(Struct, frozen=True):
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

        Every answer waits for this: attempts are gone through once, nothing is asked twice, and what is not usual is
        put into a copy of what is, which takes half as long as writing all of it down.
        """
        outcome, tariffs = self.outcome, self.tariffs
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
        told = _TOLD.copy()
        told["request_id"] = outcome.request_id
        told["decision"] = self.intent.decision.to_json()
        if self.escalated is not None:
            told["escalated"] = self.escalated.to_json()
        own_yusd = outcome.router_yusd
        if own_yusd is not None:
            told["router_cost_usd"] = exact_usd(own_yusd)
            told["cost_final"] = not outcome.router_awaits_counter  # the router's electricity follows its energy
        if priced:
            told["cost_usd"] = whole_usd(nusd * PPM, own_yusd)
            told["avoidable_usd"] = whole_usd(avoidable_ppm_nusd, own_yusd)
        if outcome.attempts:
            told["token_source"] = outcome.attempts[-1].token_source
        told["energy_j"] = energy_uj / 1e6
        if method is not None:
            told["energy_source"] = SOURCES[method]
        if self.measured:
            told["energy_final"] = False
        if self.intent.draw is not None and self.held_back:
            # What runs beside is charged to it too, once it has ended.
            told["held_back"], told["cost_final"], told["energy_final"] = True, False, False
        told["co2_g"] = co2_ug / 1e6
        told["fallback"] = self._alone()
        return told

    def _alone(self) -> dict[str, Any]:
        """What the fallback alone would have taken, or why there is nothing to compare with, as in reports."""
        intent, outcome, fallback = self.intent, self.outcome, self.tariffs.fallback
        arm = outcome.arm or (_NORMAL if intent.draw is None else intent.draw.arm)
        missing = left_out(intent.decision.policy is not None, arm, outcome.status)
        told = _ALONE.copy()
        told["estimated"] = self.expert != fallback.expert
        told["assumed_params_b"] = fallback.assumed_b
        if missing is not None:
            told["left_out"], told["could_answer"] = missing, missing != "unable" and missing != "failed"
            return told
        if fallback.price.version:
            nusd = outcome.counterfactual_cost_nusd
            ppm = self.tariffs.of(fallback.expert).avoidable_ppm if nusd else 0
            told["cost_usd"], told["avoidable_usd"] = nusd / 1e9, nusd * ppm / PPM / 1e9
        # No answer takes nothing: what the fallback takes inside this process is charged as the router's work.
        if outcome.counterfactual_energy_uj:
            told["energy_j"] = outcome.counterfactual_energy_uj / 1e6
            told["co2_g"] = outcome.counterfactual_co2_ug / 1e6
        return told


_TOLD: Final[dict[str, Any]] = {
    "request_id": None,
    "decision": None,
    "held_back": False,
    "escalated": None,
    "cost_usd": None,
    # Of it the electricity of the router's own work; null where no price of that is given, and then 0 in it.
    "router_cost_usd": None,
    # What of it would not have been spent had it never come.
    "avoidable_usd": None,
    # Who counted the answer's tokens: its `usage` says what is charged, an estimate where nobody did.
    "token_source": "none",
    "energy_j": None,
    # How its energy is known now: the weakest of what is added up.
    "energy_source": SOURCES[EnergyMethod.MODELLED],
    # Whether the ledger's figures stay as they are.
    "cost_final": True,
    "energy_final": True,
    "co2_g": None,
    "fallback": None,
}
"""The answer's object as far as nothing else is known, in its order."""

_ALONE: Final[dict[str, Any]] = {
    "cost_usd": None,
    "avoidable_usd": None,
    "energy_j": None,
    "co2_g": None,
    "left_out": None,
    "could_answer": True,
    "estimated": None,
    "assumed_params_b": None,
}
"""As `_TOLD`, of the fallback's part."""
