"""What a request would have cost had the fallback answered it at once. Pure.

This is the plain same-token figure: the tokens that were really used, at the fallback's price and joules. It is an
estimate, and wrong by an amount whose sign depends on the traffic (a bigger model writes answers of another length,
another tokenizer counts otherwise); where the fallback itself answered it is what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.meter.carbon import co2_ug
from router.meter.cost import UnitPrice, cost_nusd
from router.meter.energy import UnitEnergy, table_uj
from router.meter.record import Attempt, Status

HEARD = (Status.OK, Status.PARTIAL, Status.CANCELLED, Status.UNHEARD)
"""How an attempt ends whose tokens reached the client, some or all, or would have had it not left."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """What a token takes at the fallback."""

    expert: str
    price: UnitPrice
    energy: UnitEnergy
    assumed_b: float | None = None
    """Billions of parameters that its joules rest on, where these are a guess."""


def counterfactual(attempts: Sequence[Attempt], fallback: Fallback, ci_mg_per_kwh: int) -> tuple[int, int, int]:
    """What the fallback takes for what the client heard, broken off or not; zero when it heard nothing.

    In nano-dollars, microjoules and micrograms.

    Attempts that were discarded on the way, and the router's own work, are not part of it: the fallback needs neither.
    """
    for answer in attempts if len(attempts) == 1 else reversed(attempts):
        if answer.status in HEARD:
            break
    else:
        return 0, 0, 0
    if answer.expert == fallback.expert:
        return answer.cost_nusd, answer.energy_uj, answer.co2_ug
    asked, answered, cached = answer.input_tokens, answer.output_tokens, answer.cached_tokens
    energy_uj = table_uj(fallback.energy, asked, answered, cached)
    money_nusd = cost_nusd(fallback.price, asked, answered, cached, answer.cache_write_tokens)
    return money_nusd, energy_uj, co2_ug(energy_uj, ci_mg_per_kwh)
