"""What tokens cost, as registry.yaml or a provider's list says it."""

from __future__ import annotations

from datetime import date
from typing import Final

from pydantic import Field

from experts.frozen import Frozen

MOST_USD_PER_MTOK: Final = 100_000
"""Ten cents a token, a hundred times the dearest: the longest answer fits the ledger's integers."""


class Rates(Frozen):
    """What a million tokens cost, in US dollars."""

    input_usd_per_mtok: float = Field(ge=0, le=MOST_USD_PER_MTOK)
    output_usd_per_mtok: float = Field(ge=0, le=MOST_USD_PER_MTOK)
    cached_usd_per_mtok: float | None = Field(default=None, ge=0, le=MOST_USD_PER_MTOK)
    cache_write_usd_per_mtok: float | None = Field(default=None, ge=0, le=MOST_USD_PER_MTOK)


class PriceStep(Rates):
    """What they cost, all of a request's, where its prompt is longer than `over_tokens`."""

    over_tokens: int = Field(gt=0)


class Price(Rates):
    """The same with where that was found, and what long prompts cost."""

    source: str = Field(min_length=1)
    as_of: date | None = Field(description="null where the source says of itself which edition it is")
    steps: tuple[PriceStep, ...] = Field(default=(), max_length=2, description="what longer prompts cost, if more")
