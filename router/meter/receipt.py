"""What the client is told about how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.decide import Decision
from router.meter.counterfactual import Fallback
from router.meter.record import EnergyMethod, Outcome
from router.reason import Reason


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
    fallback: Fallback
    energy_final: bool = True
    """False where a counter measures an attempt: the ledger's figures of energy and carbon follow a moment later."""
    fallback_able: bool = True
    """False where the fallback could not have answered."""
    held_back: bool = False
    """The fallback answered so that savings can be verified, though `decision` names a small expert."""

    @property
    def energy_source(self) -> str:
        """How its energy is known now: the weakest of what is added up."""
        methods = [attempt.energy_method for attempt in self.outcome.attempts if attempt.energy_uj]
        return min(methods, default=EnergyMethod.MODELLED).label

    def to_json(self) -> dict[str, Any]:
        """The `shoal` object of the contract, in the units of the outside: USD, J, g. What nobody knows is null."""
        outcome = self.outcome
        priced = all(attempt.price_version for attempt in outcome.attempts if attempt.input_tokens)
        return {
            "request_id": self.request_id,
            "decision": self.decision.to_json(),
            "held_back": self.held_back,
            "escalated": self.escalated.to_json() if self.escalated else None,
            "cost_usd": outcome.cost_nusd / 1e9 if priced else None,
            "energy_j": outcome.energy_uj / 1e6,
            "energy_source": self.energy_source,
            "energy_final": self.energy_final,
            "co2_g": outcome.co2_ug / 1e6,
            "fallback": {
                "cost_usd": outcome.counterfactual_cost_nusd / 1e9
                if self.fallback_able and self.fallback.price.version
                else None,
                # No answer takes nothing: what the fallback takes inside this process is charged as the router's work.
                "energy_j": (self.fallback_able and outcome.counterfactual_energy_uj / 1e6) or None,
                "could_answer": self.fallback_able,
                "estimated": self.expert != self.fallback.expert,
                "assumed_params_b": self.fallback.assumed_b,
            },
        }
