"""What an expert's tokens cost by a provider's list, from the catalogue that genai-prices brings along.

The only module that imports genai-prices, and only when a registry names a list price: it takes 35 MB and a tenth of
a second. Nothing is fetched; the catalogue is the one that was installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from experts.price import Price, PriceStep
from experts.reading.problems import Key, Problem, shown
from experts.spec import Registry

CATALOGUE: Final = "genai-prices"

RATES: Final = "input_usd_per_mtok", "output_usd_per_mtok", "cached_usd_per_mtok", "cache_write_usd_per_mtok"

_BESIDE_TOKENS: Final = {
    "requests_kcount": "a fee for every request beside its tokens, which is not charged here",
    "output_reasoning_mtok": "another price for reasoning than for the rest of an answer, which is not charged here",
}
"""What any answer of a model costs that no price of tokens read and written says, by the catalogue's names. What is
asked for apart (searches, pictures, sound) is not among it: a model that lists it writes text at the price of text."""

LEAST_USD_PER_MTOK: Final = 0.0001
"""What is less, and not 0, is the price of one token, as some lists say it: the cheapest of 4,800 in the catalogue is
ten times as much, and what remained of it would be rounded to nothing."""

_FROM_CATALOGUE: Final = re.compile(rf"{CATALOGUE} \S+ ([^\s/]+)/")
"""How the source of a list price begins."""


class UnknownListPrice(LookupError):
    """The catalogue has no such price; `remedy` names what comes near."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


def list_price(name: str, at: datetime | None = None) -> Price:
    """The list price of PROVIDER/MODEL, with its steps by length of prompt, now or `at` a time.

    Some begin on a date or hold at hours of the day; each of a model's is resolved once. Raises UnknownListPrice.
    """
    _, model = _listed(name)
    holds = model.get_prices(at or now())
    if not isinstance(model.prices, list):
        return _resolved(name, 0)
    return _resolved(name, next(n for n, each in enumerate(model.prices) if each.prices is holds))


def catalogue_provider(source: str) -> str:
    """The provider's id in the catalogue that a price says it is from; empty where it is from none."""
    found = _FROM_CATALOGUE.match(source)
    return found[1] if found else ""


def now() -> datetime:
    """The time by which list prices are taken."""
    return datetime.now(UTC)


@cache
def _listed(name: str) -> tuple[str, Any]:
    """The provider's id and the catalogue's entry of PROVIDER/MODEL."""
    from genai_prices import data_snapshot

    provider_id, _, model_ref = name.partition("/")
    snapshot = data_snapshot.get_snapshot()
    providers = {provider.id: provider for provider in snapshot.providers}
    if provider_id not in providers:
        raise UnknownListPrice(f"no provider {shown(provider_id)} in the price list", _near(provider_id, providers))
    # Its own patterns leave out the ids of some models.
    by_id = {model.id: model for model in providers[provider_id].models}
    if model_ref in by_id:
        return provider_id, by_id[model_ref]
    try:
        _, model = snapshot.find_provider_model(model_ref, None, provider_id, None)
    except LookupError:
        raise UnknownListPrice(f"{provider_id} lists no model {shown(model_ref)}", _near(model_ref, by_id)) from None
    return provider_id, model


@cache
def _resolved(name: str, which: int) -> Price:
    """One of the prices of a model, in the catalogue's order."""
    provider_id, model = _listed(name)
    prices, when = model.prices, ""
    if isinstance(prices, list):
        prices, when = prices[which].prices, _when(prices[which].constraint)
    if prices.input_mtok is None:
        raise UnknownListPrice(f"{name} has no price per token in the list", "give a `price:` of your own")
    if prices.output_mtok is None:
        remedy = "give a `price:` of your own; one that makes embeddings writes no tokens: `output_usd_per_mtok: 0`"
        raise UnknownListPrice(f"{name} has a price of input tokens alone in the list", remedy)
    for kind, called in _BESIDE_TOKENS.items():
        if getattr(prices, kind, None) is not None:
            raise UnknownListPrice(f"{name} lists {called}", "give a `price:` of your own, with that in it")
    by_kind = prices.input_mtok, prices.output_mtok, prices.cache_read_mtok, prices.cache_write_mtok
    overs = sorted({tier.start for price in by_kind for tier in getattr(price, "tiers", ())})
    return Price(
        **_rates(by_kind, 0),
        steps=tuple(PriceStep(over_tokens=over, **_rates(by_kind, over + 1)) for over in overs),
        source=f"{CATALOGUE} {version(CATALOGUE)} {provider_id}/{model.id}{when}",
        as_of=None,  # the catalogue has no date, only its version: today's would make another price of it every day
    )


def _when(constraint: Any) -> str:
    """When a price holds, as its source says it."""
    if (day := getattr(constraint, "start_date", None)) is not None:
        return f" from {day}"
    if (hour := getattr(constraint, "start_time", None)) is not None:
        return f" {hour:%H:%M%z} to {constraint.end_time:%H:%M%z}".replace("+0000", " UTC")
    return ""


def charge_problems(index: int, expert: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with how an expert is charged."""
    key = ("experts", index)
    ways = [way for way in ("price", "list_price", "hardware") if expert.get(way) is not None]
    if len(ways) > 1:
        yield Problem((*key, ways[-1]), f"cannot be combined with `{ways[0]}`", "keep one of them")
    active, whole = expert.get("params_b"), expert.get("total_params_b")
    if isinstance(active, int | float) and isinstance(whole, int | float) and whole < active:
        yield Problem((*key, "total_params_b"), f"is less than params_b, {active}", "params_b are those active at once")
    yield from _of_one_token((*key, "price"), expert.get("price"))
    name, hardware = expert.get("list_price"), expert.get("hardware")
    if isinstance(name, str) and "/" in name:
        try:
            list_price(name)
        except UnknownListPrice as error:
            yield Problem((*key, "list_price"), str(error), error.remedy)
    if isinstance(hardware, dict) and (hardware.get("usd_per_hour") is None) == (hardware.get("capex_usd") is None):
        yield Problem((*key, "hardware"), "needs one of usd_per_hour and capex_usd", "give the rent, or what it cost")
    claimed = expert.get("capabilities")
    embeds = isinstance(claimed, list) and "embeddings" in claimed
    if embeds and isinstance(hardware, dict) and hardware.get("input_tokens_per_s") is None:
        what = "charges output tokens alone, and embeddings have none"
        yield Problem((*key, "hardware"), what, "add `input_tokens_per_s:`, the tokens that it reads in a busy second")


def _of_one_token(key: Key, price: object) -> Iterator[Problem]:
    """Prices, with their steps, that would charge next to nothing."""
    if not isinstance(price, dict):
        return
    for name in RATES:
        told = price.get(name)
        if isinstance(told, int | float) and 0 < told < LEAST_USD_PER_MTOK:
            what = f"is dollars per million tokens, of which {told:g} is next to nothing"
            yield Problem((*key, name), what, "is it of one token? Multiply it by 1,000,000; or write 0")
    for number, step in enumerate(steps if isinstance(steps := price.get("steps"), list) else ()):
        yield from _of_one_token((*key, "steps", number), step)


def with_list_prices(registry: Registry) -> Registry:
    """The registry with every list price that holds now, so that what charges knows only prices; itself if it has."""
    held = {spec.id: list_price(spec.list_price) for spec in registry.experts if spec.list_price}
    if all(held.get(spec.id, spec.price) is spec.price for spec in registry.experts):
        return registry
    experts = tuple(
        spec.model_copy(update={"price": held[spec.id]}) if spec.id in held else spec for spec in registry.experts
    )
    return registry.model_copy(update={"experts": experts})


def _near(name: str, known: Any) -> str:
    near = get_close_matches(name.lower(), list(known), n=4, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "see the list of genai-prices, or give a `price:`"


def _rates(by_kind: tuple[Any, ...], asked: int) -> dict[str, Any]:
    """Dollars per million tokens of a prompt with so many, as the catalogue's own calculator takes them."""
    return {name: _rate(price, asked) for name, price in zip(RATES, by_kind, strict=True) if price is not None}


def _rate(price: Any, asked: int) -> float:
    reached = [tier.price for tier in getattr(price, "tiers", ()) if asked > tier.start]
    return float(reached[-1] if reached else getattr(price, "base", price))
