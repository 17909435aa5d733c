"""Prometheus: promised names, the rules promtool checks, labels that stay few, figures equal to the ledger's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from experts.own_labels import OTHER
from experts.registry import load_registry
from experts.spec import Registry
from router.meter.cost import Electricity
from router.meter.devices import DeviceShare
from router.meter.housekeeping import NOT_MEASURED
from router.meter.record import Arm, Attempt, Draw, EnergyMethod, Role, Status
from router.reason import FALLBACK_FAILED, Reason
from router.tally import Tally
from router.telemetry import COUNTERS, HISTOGRAMS, MOST_EXPERTS, Telemetry
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome
from tests.service.server import write_registry

ROOT = Path(__file__).parents[2]

PROMISED = {
    "shoal_http_responses_total", "shoal_requests_total",
    "shoal_request_duration_seconds", "shoal_time_to_first_token_seconds",
    "shoal_tokens_total", "shoal_energy_joules_total", "shoal_cost_total", "shoal_co2_grams_total",
    "shoal_hardware_energy_joules_total", "shoal_idle_energy_joules_total",
    "shoal_hardware_divided_energy_joules_total",
    "shoal_escalations_total", "shoal_meter_write_failures_total", "shoal_meter_pending", "shoal_interrupted_requests",
    "shoal_unheard_answers_total", "shoal_promise_kept", "shoal_edition_left_out", "shoal_edit_refused",
    "process_resident_memory_bytes", "process_cpu_seconds_total",
}  # fmt: skip

NOT_BASE = re.compile(r"_(milli|micro|nano|kilo)?(milliseconds|microseconds|minutes|hours|ms|us|kb|mb|wh|kwh)(_|$)")


class Ledger:
    """What the metrics ask of the ledger."""

    interrupted = 4

    def owing(self) -> tuple[int, int]:
        return 3, 2


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """poet, cook and big."""
    return load_registry(write_registry(tmp_path)).registry


@pytest.fixture
def telemetry(registry: Registry) -> Telemetry:
    """Metrics of two devices, and of nothing else yet."""
    tally = Tally(["/metrics"])
    tally.count("/metrics", 200)
    found = Telemetry(
        Ledger(), lambda: registry, lambda: {"safe": True, "thrifty": False}, tally.counts, lambda: True, lambda: True
    )
    found.noted(devices())
    return found


def families(telemetry: Telemetry) -> dict[str, Metric]:
    """What a scrape would parse."""
    return {family.name: family for family in text_string_to_metric_families(telemetry.render().decode())}


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    samples = [sample for family in families(telemetry).values() for sample in family.samples if sample.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def serve(telemetry: Telemetry, intent: dict[str, Any] | None = None, **outcome: Any) -> None:
    """A request that has ended."""
    begun = make_intent(**(intent or {}))
    telemetry.closed(begun, make_outcome(begun.request_id, **outcome))
    telemetry.add_up()


def poet(**changes: Any) -> Attempt:
    """An attempt of the poet's."""
    return make_attempt(**{"expert": "poet", **changes})


def traffic() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Requests of every kind."""
    big = make_attempt(expert="big", role=Role.FALLBACK, energy_method=EnergyMethod.TABLE)
    yield {"expert": "poet", "stream": True}, {"answered_by": "poet", "attempts": [poet()]}
    stood_in: dict[str, Any] = {"answered_by": "big", "escalated": "before"}
    big_first = {"role": Role.FALLBACK, "fallback": "big"}
    yield big_first, {**stood_in, "why": Reason.OUT_OF_DOMAIN, "attempts": [big]}
    yield {"fallback": "big"}, {**stood_in, "why": Reason.FAILED, "attempts": [poet(status=Status.ERROR), big]}
    yield {"fallback": "big"}, {**stood_in, "escalated": "after", "why": Reason.ANSWER, "attempts": [poet(), big]}
    broke = replace(big, status=Status.ERROR)
    yield big_first, {**stood_in, "answered_by": "poet", "why": Reason.FAILED, "attempts": [broke, poet()]}
    yield {}, {"answered_by": None, "status": Status.ERROR, "attempts": []}


def devices() -> list[DeviceShare]:
    """What a card gave in an hour, and idle watts of a processor without a counter; a building takes a quarter more."""
    card = DeviceShare(
        1, "gpu:0", EnergyMethod.MEASURED, 1_250_000, counter_uj=9_000_000, attempts_uj=5_000_000, idle_uj=4_000_000
    )
    return [card, DeviceShare(1, NOT_MEASURED, EnergyMethod.MODELLED, 1_000_000, counter_uj=3, idle_uj=3)]


def test_what_is_promised_is_there(telemetry: Telemetry) -> None:
    for intent, outcome in traffic():
        serve(telemetry, intent, **outcome)
    gone = poet(status=Status.UNHEARD, output_tokens=0)
    serve(telemetry, {}, answered_by=None, status=Status.CANCELLED, attempts=[gone])
    assert value(telemetry, "shoal_unheard_answers_total", expert="poet") == 1
    names = {sample.name for family in families(telemetry).values() for sample in family.samples}
    plain = {re.sub("_(bucket|sum|count|created)$", "", name) for name in names}
    assert plain >= PROMISED


def test_the_rules_that_promtool_checks(telemetry: Telemetry) -> None:
    for intent, outcome in traffic():
        serve(telemetry, intent, **outcome)
    for name, family in families(telemetry).items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name), name
        assert family.documentation, f"{name} has no help text"
        assert not NOT_BASE.search(name), f"{name}: not a base unit"
        assert family.type in ("counter", "gauge", "histogram"), name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            for label in sample.labels:
                assert re.fullmatch("[a-z][a-z0-9_]*", label), label
                assert label not in name.split("_"), f"{name} repeats its label {label}"
            assert ("le" in sample.labels) == sample.name.endswith("_bucket"), sample.name
    for name in HISTOGRAMS:
        samples = families(telemetry)[name].samples
        counts = {tuple(s.labels.items()): s.value for s in samples if s.name.endswith("_count")}
        ends = {
            tuple((k, v) for k, v in s.labels.items() if k != "le"): s.value
            for s in samples
            if s.labels.get("le") == "+Inf"
        }
        assert counts == ends


def test_the_first_request_of_an_expert_adds_to_series_that_were_there(
    telemetry: Telemetry, registry: Registry
) -> None:
    """Prometheus cannot tell that a series which begins at 1 was 0 before, so `increase` misses what it begins with."""

    def told() -> dict[tuple[str, ...], float]:
        samples = [sample for family in families(telemetry).values() for sample in family.samples]
        experts = {spec.id for spec in registry.experts}
        counted = [s for s in samples if s.name.endswith("_total") and s.labels.get("expert") in experts]
        return {(s.name, *s.labels.values()): s.value for s in counted}

    before = told()
    assert {series[0] for series in before} == {
        "shoal_requests_total", "shoal_tokens_total", "shoal_energy_joules_total", "shoal_co2_grams_total",
        "shoal_cost_total",
    }  # fmt: skip
    assert set(before.values()) == {0}
    serve(telemetry, {"expert": "poet", "endpoint": "chat"}, answered_by="poet", attempts=[poet(price_version="")])
    failed = {"expert": "cook", "endpoint": "messages"}
    serve(telemetry, failed, answered_by=None, status=Status.ERROR, attempts=[])
    assert told().keys() == before.keys()
    assert sum(told().values()) > 2


def test_money_of_what_has_a_price_begins_at_nothing_spent(registry: Registry) -> None:
    """`increase` misses what a series begins with: of an expert asked once in a while, all that it cost."""
    priced = registry.model_copy(update={"power": registry.power.model_copy(update={"usd_per_kwh": 0.3})})
    telemetry = Telemetry(Ledger(), lambda: priced)
    told = {sample.labels["expert"]: sample.value for sample in families(telemetry)["shoal_cost"].samples}
    assert told == {"poet": 0, "big": 0, "router": 0}, "and not the cook's: what has no price is not free"
    serve(telemetry, answered_by="poet", attempts=[make_attempt(expert="poet", cost_nusd=7_000)])
    assert value(telemetry, "shoal_cost_total", expert="poet", currency="usd") == 7


def test_what_has_no_price_is_not_shown_as_free(telemetry: Telemetry) -> None:
    serve(telemetry, answered_by="cook", attempts=[poet(expert="cook", cost_nusd=0, price_version="")])
    told = [sample for sample in families(telemetry)["shoal_cost"].samples if sample.labels.get("expert") == "cook"]
    assert told == []
    assert value(telemetry, "shoal_tokens_total", expert="cook", direction="input", modality="text") > 0
    serve(telemetry, answered_by="cook", attempts=[poet(expert="cook", cost_nusd=0, price_version="inside the router")])
    assert value(telemetry, "shoal_cost_total", expert="cook", currency="usd") == 0


def test_the_routers_electricity_is_shown_where_it_has_a_price(telemetry: Telemetry) -> None:
    serve(telemetry, answered_by="poet", attempts=[poet()], router_energy_uj=6528)
    assert value(telemetry, "shoal_energy_joules_total", expert="router") == 0.006528
    told = [sample for sample in families(telemetry)["shoal_cost"].samples if sample.labels["expert"] == "router"]
    assert told == []
    for _ in range(3):  # less than a nano-dollar each, and none is rounded
        serve(
            telemetry,
            answered_by="poet",
            attempts=[poet()],
            router_energy_uj=4,
            electricity=Electricity(10**14, "a price"),
        )
    assert value(telemetry, "shoal_cost_total", expert="router", currency="usd") == 0.0012


def test_figures_are_the_ledgers_integers_in_the_units_of_the_name(telemetry: Telemetry) -> None:
    for _ in range(1000):
        serve(telemetry, answered_by="poet", attempts=[poet(cost_nusd=1, energy_uj=1, co2_ug=1)], router_energy_uj=3)
    assert value(telemetry, "shoal_cost_total", expert="poet", currency="usd") == 1.0  # millionths of a dollar
    assert value(telemetry, "shoal_energy_joules_total", expert="poet", source="modelled") == 0.001
    assert value(telemetry, "shoal_energy_joules_total", expert="router") == 0.003
    assert value(telemetry, "shoal_co2_grams_total", expert="poet") == 0.001
    assert value(telemetry, "shoal_tokens_total", expert="poet", direction="input", modality="text") == 120_000
    assert value(telemetry, "shoal_meter_write_failures_total") == 3
    assert value(telemetry, "shoal_meter_pending") == 2
    assert value(telemetry, "shoal_interrupted_requests") == 4
    assert value(telemetry, "shoal_promise_kept", policy="safe") == 1
    assert value(telemetry, "shoal_promise_kept", policy="thrifty") == 0
    assert value(telemetry, "shoal_edition_left_out") == 1
    assert value(telemetry, "shoal_edit_refused") == 1


def test_what_a_counter_measures_is_counted_once_it_is_known_and_as_measured(telemetry: Telemetry) -> None:
    awaited = poet(energy_uj=4_000_000, co2_ug=500, awaits_counter=True)
    serve(telemetry, {"expert": "poet"}, answered_by="poet", attempts=[awaited], router_energy_uj=0, router_co2_ug=0)
    assert value(telemetry, "shoal_energy_joules_total") == 0
    parts = "shoal_hardware_divided_energy_joules_total"
    assert value(telemetry, parts, device="gpu:0", source="measured", part="attempts") == 5
    assert value(telemetry, parts, device="gpu:0", source="measured", part="idle") == 4
    assert value(telemetry, parts, device="gpu:0") == 9
    assert value(telemetry, "shoal_co2_grams_total") == 0
    assert value(telemetry, "shoal_tokens_total", expert="poet") == 200
    telemetry.settled("poet", EnergyMethod.MEASURED_SHARE, 7_000_000, 900)
    telemetry.settled("nobody any more", EnergyMethod.MODELLED, 1_000_000, 100)
    assert value(telemetry, "shoal_energy_joules_total", expert="poet", source="measured") == 7
    assert value(telemetry, "shoal_energy_joules_total", expert=OTHER, source="modelled") == 1
    assert value(telemetry, "shoal_co2_grams_total") == 0.001


def test_the_routers_own_work_by_a_counter_is_counted_once_it_is_known(telemetry: Telemetry) -> None:
    price = Electricity.of(0.36)
    waits = {"router_energy_uj": 4_000_000, "router_co2_ug": 500, "electricity": price}
    serve(telemetry, answered_by="poet", attempts=[], router_awaits_counter=True, **waits)
    assert value(telemetry, "shoal_energy_joules_total") == value(telemetry, "shoal_cost_total") == 0
    telemetry.settled(None, EnergyMethod.MEASURED_SHARE, 5_000_000, 600, price.cost_yusd(5_000_000))
    assert value(telemetry, "shoal_energy_joules_total", expert="router", source="measured") == 5
    assert value(telemetry, "shoal_co2_grams_total", expert="router") == 0.0006
    assert value(telemetry, "shoal_cost_total", expert="router", currency="usd") == pytest.approx(0.5)  # millionths


def test_devices_and_their_idle_energy_are_lines_of_their_own(telemetry: Telemetry) -> None:
    assert value(telemetry, "shoal_hardware_energy_joules_total", device="gpu:0", source="measured") == 9
    parts = {"device": "gpu:0", "source": "measured", "part": "idle"}
    idle = value(telemetry, "shoal_idle_energy_joules_total", device="gpu:0", source="measured")
    assert idle == value(telemetry, "shoal_hardware_divided_energy_joules_total", **parts) == 4, "a part of the 9"
    assert value(telemetry, "shoal_idle_energy_joules_total", device=NOT_MEASURED, source="modelled") == 3e-6
    assert value(telemetry, "shoal_energy_joules_total") == 0


def test_an_answer_in_one_piece_has_no_first_token(telemetry: Telemetry) -> None:
    serve(telemetry, {"expert": "poet"}, answered_by="poet", attempts=[poet()])
    assert value(telemetry, "shoal_time_to_first_token_seconds_count") == 0
    serve(telemetry, {"expert": "poet", "stream": True}, answered_by="poet", attempts=[poet()])
    assert value(telemetry, "shoal_time_to_first_token_seconds_count", expert="poet") == 1


def test_a_scrape_sees_what_was_not_added_up_yet(telemetry: Telemetry) -> None:
    begun = make_intent(expert="poet")
    telemetry.closed(begun, make_outcome(begun.request_id, answered_by="poet", attempts=[poet()]))
    telemetry.beside(poet(input_tokens=5))
    assert value(telemetry, "shoal_requests_total", expert="poet") == 1
    assert value(telemetry, "shoal_tokens_total", expert="poet", direction="input") == 125


def test_every_escalation_has_a_bounded_reason(telemetry: Telemetry) -> None:
    for intent, outcome in traffic():
        serve(telemetry, intent, **outcome)
    samples = families(telemetry)["shoal_escalations"].samples
    by_reason = {s.labels["reason"]: s.value for s in samples}
    assert by_reason == dict.fromkeys(("out_of_domain", "failed", "answer", "fallback_failed"), 1)
    assert by_reason.keys() <= {*Reason, FALLBACK_FAILED}


@pytest.mark.parametrize(("arm", "told"), [(Arm.RESTRICTED, "out_of_domain"), (Arm.FAILED, FALLBACK_FAILED)])
def test_a_fallback_that_a_key_may_not_use_has_not_failed(telemetry: Telemetry, arm: Arm, told: str) -> None:
    begun = {"expert": "poet", "role": Role.FALLBACK, "draw": Draw(arm)}
    way = {"escalated": "before", "why": Reason.OUT_OF_DOMAIN, "answered_by": "poet"}
    serve(telemetry, begun, **way, attempts=[poet(role=Role.FALLBACK)])
    assert value(telemetry, "shoal_escalations_total", stage="before", reason=told) == 1
    assert value(telemetry, "shoal_escalations_total") == 1


def test_ten_thousand_names_that_clients_made_up_make_one_series(telemetry: Telemetry) -> None:
    serve(telemetry, {"expert": "poet"}, answered_by="poet", attempts=[poet()])

    def series() -> set[str]:
        text = telemetry.render().decode()
        return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("shoal_requests_total")}

    before = series()
    for number in range(10_000):
        name = f'made-up-{number}"\n}}evil{{'
        serve(telemetry, {"expert": name, "requested_model": name}, answered_by=None, status=Status.ERROR, attempts=[])
    assert len(series() - before) == 1
    assert value(telemetry, "shoal_requests_total", expert=OTHER) == 10_000
    assert "evil" not in telemetry.render().decode()


def test_registries_that_come_and_go_make_no_more_series_than_allowed(registry: Registry) -> None:
    current = registry
    telemetry = Telemetry(Ledger(), lambda: current)
    for number in range(MOST_EXPERTS + 20):
        poet_now = registry.experts[0].model_copy(update={"id": f"expert-{number}"})
        current = registry.model_copy(update={"experts": (poet_now, *registry.experts[1:])})
        serve(telemetry, {"expert": poet_now.id}, answered_by=poet_now.id, attempts=[])
    labels = {s.labels["expert"] for s in families(telemetry)["shoal_requests"].samples}
    assert len(labels) == MOST_EXPERTS  # one place is the encoder's
    assert OTHER in labels


def test_rules_and_alerts_ask_only_for_what_there_is(telemetry: Telemetry) -> None:
    for intent, outcome in traffic():
        serve(telemetry, intent, **outcome)
    told = {sample.name: set(sample.labels) for family in families(telemetry).values() for sample in family.samples}
    folder = ROOT / "deploy" / "prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert config["scrape_configs"][0]["authorization"] == {"credentials_file": "/etc/prometheus/shoal.key"}
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    groups = [group for name in config["rule_files"] for group in yaml.safe_load((folder / name).read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        expression = rule["expr"]
        names = re.findall(r"[a-z_:]+:[a-z_]+:\w+|\b(?:shoal|process)_[a-z0-9_]+", expression)
        assert names or f'up{{job="{next(iter(jobs))}"}}' in expression
        assert {name for name in names if ":" in name} <= recorded
        assert {name for name in names if ":" not in name} <= told.keys()
        for dropped, name in re.findall(r"without \(([\w, ]+)\) \((?:rate\(|increase\()?(\w+)", expression):
            assert set(dropped.split(", ")) - {"worker"} <= told[name], expression
            if "/" in expression:  # both sides must be told apart by the same labels
                assert told[name] <= set(dropped.split(", ")), expression
        if rule.get("record", "").endswith(
            "_share:5m"
        ):  # else it is absent until the first of its kind, and so is the alert
            assert " or 0 * sum without " in expression
        assert "alert" not in rule or rule["annotations"]["summary"].endswith(".")


def test_the_grafana_dashboard_asks_for_all_that_there_is_and_no_more(telemetry: Telemetry) -> None:
    for intent, outcome in traffic():
        serve(telemetry, intent, **outcome)
    gone = poet(status=Status.UNHEARD, output_tokens=0)
    serve(telemetry, {}, answered_by=None, status=Status.CANCELLED, attempts=[gone])
    exported = {sample.name for family in families(telemetry).values() for sample in family.samples}
    board = json.loads((ROOT / "deploy" / "grafana" / "shoal.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\b(?:shoal|process)_[a-z0-9_]+", query)}
    assert asked <= exported
    assert {name for name in exported if name.startswith("shoal_") and name.endswith("_total")} <= asked
    table = (ROOT / "docs" / "observing.md").read_text().partition("| metric |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"`(shoal_[a-z0-9_]+)`", table))
    assert documented == {re.sub(r"_seconds_bucket$", "_seconds", name) for name in asked if name.startswith("shoal_")}
    labels = {name: labels for name, (_, labels, _) in COUNTERS.items()}
    for query in queries:
        name = re.search(r"(shoal_[a-z0-9_]+?)_total", query)
        for by in re.findall(r"by \((\w+)\)", query):
            assert by == "le" or by in labels[name[1] if name else ""], query
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
