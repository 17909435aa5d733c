from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from genai_prices import data_snapshot

from experts.errors import RegistryError
from experts.price import Price
from experts.reading.list_price import UnknownListPrice, list_price
from experts.registry import load_registry

ROOT = Path(__file__).parents[2]
QUOTE = {"source": "x", "as_of": "2026-01-01"}


def edited(folder: Path, **changes: object) -> Path:
    """The shipped registry with one expert more."""
    data = yaml.safe_load((ROOT / "registry.yaml").read_text())
    data["outside"] = str(ROOT / data["outside"])
    for expert in data["experts"]:
        for key in ("examples", "card", "answers", "labels"):
            if key in expert:
                expert[key] = str(ROOT / expert[key])
    data["encoder"]["path"] = str(ROOT / data["encoder"]["path"])
    base = {"id": "far", "kind": "openai", "description": "x", "url": "http://127.0.0.1:9/v1", "model": "m"}
    data["experts"].append({**base, "params_b": 200, "context": 128000, **changes})
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_list_price_is_the_one_the_catalogue_holds() -> None:
    price = list_price("openai/gpt-4o")
    assert (price.input_usd_per_mtok, price.cached_usd_per_mtok, price.output_usd_per_mtok) == (2.5, 1.25, 10.0)
    assert price.source.startswith("genai-prices ")
    assert price.source.endswith("openai/gpt-4o")
    assert list_price("openai/gpt-4o") is price, "looked up once"


def test_every_model_of_the_catalogue_can_be_named() -> None:
    """The catalogue finds models by patterns, which leave out the ids of 85; the remedy offered the very same names."""
    refused = []
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models:
            name = f"{provider.id}/{model.id}"
            try:
                assert f" {name}" in list_price(name).source
            except UnknownListPrice as error:
                refused.append(str(error))
    assert not [each for each in refused if "lists no model" in each]
    assert list_price("mistral/codestral").output_usd_per_mtok > 0


def test_a_list_price_is_the_same_one_on_another_day() -> None:
    """The catalogue has no date of its own, only its version: a date of today would make another price of it."""
    assert list_price("openai/gpt-4o").as_of is None


def test_a_list_price_by_the_hour_of_day_is_the_one_that_holds() -> None:
    def at(hour: int, minute: int) -> Price:
        return list_price("deepseek/deepseek-chat", datetime(2026, 11, 27, hour, minute, tzinfo=UTC))

    assert [at(*each).input_usd_per_mtok for each in ((0, 29), (0, 30), (16, 29), (16, 30))] == [
        0.135,
        0.27,
        0.27,
        0.135,
    ]
    assert at(12, 0) is at(1, 0), "each of them is resolved once"
    assert at(12, 0).source.endswith("deepseek/deepseek-chat 00:30 UTC to 16:30 UTC")


def test_a_list_price_that_begins_on_a_date_is_there_from_then_on() -> None:
    def on(day: int) -> Price:
        return list_price("arcee/deepseek/deepseek-v4.1-flash", datetime(2026, 11, day, tzinfo=UTC))

    before, after = list_price("arcee/deepseek/deepseek-v4.1-flash", datetime(2026, 10, 31, 23, 59, tzinfo=UTC)), on(1)
    assert (before.output_usd_per_mtok, after.output_usd_per_mtok) == (0.66, 1.2)
    assert after is on(27)
    assert after.source.endswith("deepseek-v4.1-flash from 2026-11-01")


def test_a_price_in_steps_has_them_all() -> None:
    price = list_price("google/gemini-2.5-pro")
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok, price.cached_usd_per_mtok) == (1.25, 10.0, 0.125)
    (step,) = price.steps
    assert step.over_tokens == 200_000
    assert (step.input_usd_per_mtok, step.output_usd_per_mtok, step.cached_usd_per_mtok) == (2.5, 15.0, 0.25)


def test_a_list_price_has_what_writing_a_cache_costs() -> None:
    assert list_price("anthropic/claude-3-5-haiku-latest").cache_write_usd_per_mtok == 1.0
    assert list_price("openai/gpt-4o").cache_write_usd_per_mtok is None


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [("openai/gpt-4oo", "no model 'gpt-4oo'", "gpt-4o"), ("opena/gpt-4o", "no provider 'opena'", "openai")],
)
def test_an_unknown_name_is_told_what_comes_near(name: str, what: str, remedy: str) -> None:
    with pytest.raises(UnknownListPrice, match=what) as caught:
        list_price(name)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("perplexity/sonar", "a fee for every request beside its tokens"),
        ("perplexity/sonar-reasoning-pro", "a fee for every request beside its tokens"),
        ("perplexity/sonar-deep-research", "another price for reasoning"),
    ],
)
def test_a_list_price_that_tokens_alone_do_not_make_is_refused(name: str, told: str) -> None:
    """The fee is some twenty times what a short answer's tokens cost, and was left out in silence."""
    with pytest.raises(UnknownListPrice, match=told) as caught:
        list_price(name)
    assert caught.value.remedy == "give a `price:` of your own, with that in it"


@pytest.mark.parametrize(
    ("name", "told", "remedy"),
    [
        (
            "openai/text-embedding-3-small",
            "openai/text-embedding-3-small has a price of input tokens alone in the list",
            "give a `price:` of your own; one that makes embeddings writes no tokens: `output_usd_per_mtok: 0`",
        ),
        ("google/gemma-3", "google/gemma-3 has no price per token in the list", "give a `price:` of your own"),
    ],
)
def test_a_list_price_that_is_not_of_all_tokens_is_refused_as_what_it_is(name: str, told: str, remedy: str) -> None:
    with pytest.raises(UnknownListPrice) as caught:
        list_price(name)
    assert (str(caught.value), caught.value.remedy) == (told, remedy)


def test_a_registry_that_names_a_list_price_carries_it(tmp_path: Path) -> None:
    loaded = load_registry(edited(tmp_path, list_price="openai/gpt-4o-mini"), {})
    assert loaded.registry.expert("far").price == list_price("openai/gpt-4o-mini")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"list_price": "openai/gpt-4oo"}, r"\[3\].list_price: openai lists no model .*did you mean gpt"),
        ({"list_price": "gpt-4o"}, r"list_price: must be PROVIDER/MODEL"),
        (
            {"list_price": "openai/gpt-4o", "hardware": {"usd_per_hour": 2, "tokens_per_s": 9, **QUOTE}},
            "hardware: cannot be combined with `list_price`",
        ),
        ({"total_params_b": 20}, r"total_params_b: is less than params_b, 200"),
        ({"hardware": {"tokens_per_s": 9, **QUOTE}}, "needs one of usd_per_hour and capex_usd"),
        ({"hardware": {"usd_per_hour": 1, "tokens_per_s": 0, **QUOTE}}, "must be more than 0"),
        (
            {"hardware": {"usd_per_hour": 400, "tokens_per_s": 1, **QUOTE}},
            r"\[3\].hardware: makes a token cost more than ten cents. Remedy: correct what an hour costs, or how many",
        ),
        (
            {"hardware": {"usd_per_hour": 400, "tokens_per_s": 9, "input_tokens_per_s": 1, **QUOTE}},
            r"\[3\].hardware: makes a token cost more than ten cents",
        ),
        (
            {"hardware": {"usd_per_hour": 2, "tokens_per_s": 9, **QUOTE}, "capabilities": ["embeddings"]},
            r"\[3\].hardware: charges output tokens alone, and embeddings have none. Remedy: add `input_tokens_per_s:`",
        ),
        (
            {"hardware": {"capex_usd": 1, "life_years": 1e-320, "tokens_per_s": 9, **QUOTE}},
            r"life_years: must be 0.01 or more",
        ),
        (
            {"price": {"input_usd_per_mtok": 1.0e13, "output_usd_per_mtok": 0.6, **QUOTE}},
            r"price.input_usd_per_mtok: must be 100000 or less, got 10000000000000.0. Remedy: write a number",
        ),
        (
            {"energy": {"input_j_per_token": 1, "output_j_per_token": 10_001, **QUOTE}},
            "must be 10000 or less, got 10001",
        ),
        ({"params_b": 1e300}, "params_b: must be 10000 or less, got 1e[+]300"),
        (
            {"price": {"input_usd_per_mtok": 1.5e-7, "output_usd_per_mtok": 0.6, **QUOTE}},
            r"price.input_usd_per_mtok: .* 1.5e-07 .* Remedy: is it of one token\? Multiply it by 1,000,000",
        ),
        (
            {"price": {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0.00009, **QUOTE}},
            r"price.output_usd_per_mtok: .* 9e-05 ",
        ),
        (
            {
                "price": {
                    "input_usd_per_mtok": 1,
                    "output_usd_per_mtok": 2,
                    **QUOTE,
                    "steps": [{"over_tokens": 9, "input_usd_per_mtok": 2, "output_usd_per_mtok": 4e-6}],
                }
            },
            r"price.steps\[0\].output_usd_per_mtok: .* 4e-06 ",
        ),
    ],
)
def test_a_wrong_charge_is_one_clear_line(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(RegistryError, match=told) as caught:
        load_registry(edited(tmp_path, **changes), {})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("least", [0, 0.0001, 0.0011])
def test_what_costs_nothing_or_little_has_a_price(tmp_path: Path, least: float) -> None:
    price = {"input_usd_per_mtok": least, "output_usd_per_mtok": least, **QUOTE}
    assert load_registry(edited(tmp_path, price=price), {}).registry.expert("far").price is not None


def test_nobody_pays_for_the_catalogue_who_does_not_ask() -> None:
    code = "import sys; from pathlib import Path; from experts.registry import load_registry"
    code += "; load_registry(Path('registry.yaml'), {}); print('genai_prices' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
