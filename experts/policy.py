"""What a policy may ask for."""

from __future__ import annotations

from typing import Final, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from experts.frozen import Frozen, Probability

AIMS = ("threshold", "max_risk", "max_fallback_share", "max_j_per_kreq", "max_usd_per_kreq")
"""What a policy may go by; each names exactly one of them."""

LEAST_RISK: Final = 0.000001
"""A smaller one is less than a certificate tells apart, and would take millions of examples."""

LEAST_CONFIDENCE: Final = 0.5
MOST_CONFIDENCE: Final = 0.999
"""Beyond it the test, which is stricter than what is asked, comes to odds that no number of examples meets."""


class Policy(Frozen):
    """When a small expert may answer: above a fixed threshold, or above one that is found so that a promise holds."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [aim]} for aim in AIMS]})

    threshold: Probability | None = Field(
        default=None, description="least calibrated probability that an expert answers well"
    )
    max_risk: float | None = Field(
        default=None,
        ge=LEAST_RISK,
        lt=1,
        description="mean quality that may be lost against always asking the fallback, over all requests; certified",
    )
    confidence: float | None = Field(
        default=None,
        ge=LEAST_CONFIDENCE,
        le=MOST_CONFIDENCE,
        description="how surely max_risk is kept, 0.9 when left out",
    )
    max_fallback_share: Probability | None = Field(
        default=None, description="share of requests that may go to the fallback; estimated"
    )
    max_j_per_kreq: float | None = Field(
        default=None, gt=0, description="joules that a thousand requests may take; estimated"
    )
    max_usd_per_kreq: float | None = Field(
        default=None, gt=0, description="US dollars that a thousand requests may cost; estimated"
    )
    out_of_domain: Probability = Field(
        default=0.05, description="share of known requests that may be taken for unknown ones"
    )

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        named = [aim for aim in AIMS if getattr(self, aim) is not None]
        if len(named) != 1:
            raise PydanticCustomError(
                "policy_aim",
                "names {named}",
                {"named": " and ".join(named) or "nothing to go by", "aims": ", ".join(AIMS)},
            )
        if self.confidence is not None and self.max_risk is None:
            raise PydanticCustomError("policy_confidence", "names a confidence but no max_risk")
        return self

    @property
    def aim(self) -> str:
        """The one of `AIMS` that it names."""
        return next(aim for aim in AIMS if getattr(self, aim) is not None)
