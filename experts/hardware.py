"""A machine that serves, as registry.yaml says it: what an hour of it costs, and so a token."""

from __future__ import annotations

from datetime import date
from typing import Final, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from experts.frozen import Frozen, Probability
from experts.price import MOST_USD_PER_MTOK

HOURS_PER_YEAR: Final = 8766

MOST_W: Final = 1e5
"""A rack of the hungriest takes as much."""

MOST_KG: Final = 1e9
"""CO2e of making one: as a large factory emits in years."""

LEAST_YEARS: Final = 0.01

_MOST_PUE: Final = 3
"""What the registry lets a building take, over its computers."""


class Hardware(Frozen):
    """A machine of one's own or by the hour, and how many tokens it gives: from these a token's price is made."""

    usd_per_hour: float | None = Field(default=None, ge=0, description="rent; leave it out for a machine you own")
    capex_usd: float | None = Field(default=None, ge=0, description="what the machine cost, when you own it")
    life_years: float = Field(default=4.0, ge=LEAST_YEARS)
    residual_share: Probability = Field(default=0.0, description="of capex_usd, still there after life_years")
    power_w: float = Field(default=0.0, ge=0, le=MOST_W, description="at the wall while it serves")
    idle_w: float | None = Field(
        default=None,
        ge=0,
        le=MOST_W,
        description="at the wall while it waits: paid in any case, and for the break-even",
    )
    usd_per_kwh: float = Field(default=0.0, ge=0)
    tokens_per_s: float = Field(gt=0, description="output tokens a second when busy, prompts included in the time")
    input_tokens_per_s: float | None = Field(
        default=None,
        gt=0,
        description="input tokens a second when busy: then they are charged too, and tokens_per_s is of answers alone",
    )
    utilisation: float = Field(default=0.5, gt=0, le=1, description="share of the time it is busy")
    embodied_kg: float | None = Field(
        default=None, ge=0, le=MOST_KG, description="CO2e of making it, over its life_years"
    )
    source: str = Field(min_length=1)
    as_of: date

    @property
    def machine_usd(self) -> float:
        """Of an hour: rent, or what the machine loses in worth, the same whether it works or not."""
        worn = (self.capex_usd or 0.0) * (1 - self.residual_share) / (self.life_years * HOURS_PER_YEAR)
        return worn if self.usd_per_hour is None else self.usd_per_hour

    def electricity_usd(self, pue: float) -> float:
        """Of an hour in which it serves for its share; `pue` is what the building takes beside its computers.

        Where nobody says what waiting takes, that is as much as serving.
        """
        waiting_w = self.power_w if self.idle_w is None else self.idle_w
        mean_w = self.power_w * self.utilisation + waiting_w * (1 - self.utilisation)
        return mean_w / 1000 * pue * self.usd_per_kwh

    def serving_usd(self, pue: float) -> float:
        """Of an hour: the electricity that it takes because it serves; what waiting takes is paid in any case."""
        serving_w = max(self.power_w - (self.idle_w or 0.0), 0.0) * self.utilisation
        return serving_w / 1000 * pue * self.usd_per_kwh

    @model_validator(mode="after")
    def _of_a_token_that_can_be_charged(self) -> Self:
        hour_usd = self.machine_usd + self.electricity_usd(_MOST_PUE)
        slowest = min(self.tokens_per_s, self.input_tokens_per_s or self.tokens_per_s)
        if hour_usd * 1e6 > MOST_USD_PER_MTOK * 3600 * slowest * self.utilisation:
            raise PydanticCustomError("dear_token", "makes a token cost more than ten cents")
        return self
