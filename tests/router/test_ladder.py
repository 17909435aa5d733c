from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from experts.spec import AnySpec, Registry, ScriptedSpec
from router.decide import decide, obstacle
from router.judgement import Judgement
from router.ladder import Ladder
from router.rule import Rule
from tests.router.test_decide import REGISTRY, expert, needs

MACHINE = {
    "capex_usd": 30_000, "power_w": 1000, "usd_per_kwh": 0.12, "tokens_per_s": 3500, "source": "quote",
    "as_of": date(2026, 11, 1),
}  # fmt: skip
"""A million tokens take .155 dollars."""


RULE = Rule("balanced", 0.8, 0.05)


def unpriced(name: str, params_b: float, **more: Any) -> AnySpec:
    return expert(name, params_b, price=None, **more)


def of(*experts: AnySpec) -> Registry:
    return REGISTRY.model_copy(update={"experts": experts})


def chosen(registry: Registry, **probability: float) -> str:
    judgement = Judgement("x", probability, 0.5, 0.0)
    return decide(judgement, Ladder.of(registry), Rule("balanced", 0.8, 0.05), needs(), lambda _: None).expert


def test_what_has_no_price_is_not_taken_for_free() -> None:
    registry = of(unpriced("huge", 70), expert("tiny", 1, usd=0.01), unpriced("big", 100))
    assert chosen(registry, huge=0.9, tiny=0.9) == "tiny"
    assert Ladder.of(registry).told == "by active parameters, because what huge, big cost is not known"


def test_a_machine_s_tokens_have_the_price_that_the_meter_charges() -> None:
    registry = of(unpriced("owned", 70, hardware=MACHINE), expert("tiny", 1, usd=0.01), expert("big", 100, usd=9))
    assert chosen(registry, owned=0.9, tiny=0.9) == "tiny"
    dear = of(unpriced("owned", 70, hardware=MACHINE), expert("tiny", 1, usd=1), expert("big", 100, usd=9))
    assert chosen(dear, owned=0.9, tiny=0.9) == "owned"
    assert Ladder.of(dear).to_json() == {
        "by": "money",
        "experts": ["owned", "tiny", "big"],
        "told": "by money, then by active parameters",
    }


def test_a_fallback_without_a_price_is_the_largest_where_money_counts() -> None:
    registry = of(expert("dear", 0.5, usd=4), expert("cheap", 3, usd=1), unpriced("big", 0.1))
    assert chosen(registry, dear=0.9, big=0.99) == "dear"
    ladder = Ladder.of(registry)
    assert ladder.experts == ("cheap", "dear", "big")
    assert ladder.told.endswith("the fallback big has no price and counts as the largest")


def test_an_assumed_size_is_never_taken_for_a_small_one() -> None:
    registry = of(unpriced("large", 70), unpriced("big", 8, params_assumed=True))
    assert Ladder.of(registry).experts == ("large", "big")


def test_what_lives_in_the_router_costs_nothing_of_its_own() -> None:
    more = {"description": "d", "params_b": 0.5, "context": 4096, "script": "s.jsonl"}
    scripted = ScriptedSpec.model_validate({"id": "free", "kind": "scripted", **more})
    registry = of(expert("tiny", 0.1, usd=0.01), scripted, expert("big", 100, usd=9))
    assert Ladder.of(registry).experts == ("free", "tiny", "big")


@pytest.mark.parametrize("usd", [0.0, 3.0])
def test_one_measure_holds_for_all_so_that_no_three_go_round_in_a_circle(usd: float) -> None:
    """By money `b` is smaller than `a`; by parameters, which alone are known of `c`, `a` than `c` and `c` than `b`."""
    registry = of(expert("a", 1, usd=5), expert("b", 3, usd=usd), unpriced("c", 2), expert("big", 100, usd=9))
    ladder = Ladder.of(registry)
    assert ladder.experts == ("a", "c", "b", "big")
    assert chosen(registry, a=0.9, b=0.9) == chosen(registry, a=0.9, b=0.9, c=0.9) == "a"


def test_many_without_a_price_are_told_in_a_line() -> None:
    told = Ladder.of(of(*(unpriced(f"e{at}", at) for at in range(9)), expert("big", 100))).told
    assert told == "by active parameters, because what e0, e1, e2 and 6 more cost is not known"


def test_who_can_do_the_same_is_asked_what_it_lacks_once() -> None:
    far, able = unpriced("far", 3, context=9), unpriced("able", 3, capabilities=["stream", "tools"])
    registry = of(unpriced("small", 1), far, unpriced("medium", 3), able, unpriced("again", 4, context=9))
    ladder = Ladder.of(registry)
    assert ladder.alike == {"small": "small", "far": "far", "medium": "small", "able": "able", "again": "far"}
    assert list(ladder.specs.values()) == list(registry.experts)


@pytest.mark.parametrize("body", [{}, {"stream": True, "tools": [{"type": "function"}]}, {"max_tokens": 5000}])
def test_each_lacks_what_it_lacks_alone(body: dict[str, Any]) -> None:
    registry = of(
        unpriced("small", 1), unpriced("far", 3, context=9), unpriced("medium", 3, context=9), unpriced("b", 2),
        unpriced("big", 9, context=100_000, capabilities=["stream", "tools"]),
    )  # fmt: skip
    believed = {"medium": 0.5, "b": 0.1, "far": 0.5, "big": 0.9, "small": 0.1, "gone": 0.9}
    found = decide(Judgement("x", believed, 0.5, 0.0), Ladder.of(registry), RULE, needs(**body), lambda _: None)
    alone = {spec.id: obstacle(spec, needs(**body)) for spec in registry.experts}
    assert {c.expert: c.obstacle for c in found.candidates} == alone
    assert [c.expert for c in found.candidates] == ["big", "far", "medium", "b", "small"]
