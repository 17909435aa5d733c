"""Requests told to the real SDK: what is counted, under which names, and what is left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from router.meter.cost import Electricity
from router.meter.devices import DeviceShare
from router.meter.record import EnergyMethod, Status
from router.otel.names import NEWER, OLDER, Generation
from router.otel.story import MOST_ERRORS, Story
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome


class Told:
    """A story, and what the SDK made of it."""

    def __init__(self, *sent: Generation) -> None:
        self._reader, self._spans = InMemoryMetricReader(), InMemorySpanExporter()
        self._meters, self._traces = MeterProvider([self._reader]), TracerProvider()
        self._traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.story = Story(
            self._traces.get_tracer("test"), self._meters.get_meter("test"), sent or (OLDER,), lambda _: False
        )

    def close(
        self, endpoint: str = "chat", stream: bool = False, router: Mapping[str, Any] | None = None, **attempt: Any
    ) -> None:
        """A request that has ended."""
        begun = make_intent(endpoint=endpoint, stream=stream)
        attempts = [make_attempt(**attempt)]
        outcome = make_outcome(begun.request_id, attempts=attempts, **(router or {"router_energy_uj": 0}))
        self.story.closed(begun, outcome)

    def spans(self) -> list[dict[str, Any]]:
        """Attributes of every span; inner ones end first."""
        return [dict(span.attributes or {}) for span in self._spans.get_finished_spans()]

    def points(self) -> dict[str, list[Any]]:
        """Every metric's data points."""
        data = self._reader.get_metrics_data()
        metrics = [m for r in (data.resource_metrics if data else []) for s in r.scope_metrics for m in s.metrics]
        return {metric.name: list(metric.data.data_points) for metric in metrics}

    def total(self, name: str, **labels: str) -> float:
        """Of a counter, the points that have these attributes; dots are written as double underscores."""
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        points = self.points().get(name, [])
        return sum(p.value for p in points if wanted.items() <= dict(p.attributes).items())


def test_what_has_no_price_is_told_nowhere_as_free() -> None:
    told = Told()
    told.close(cost_nusd=0, price_version="")
    assert "shoal.cost" not in told.points()
    assert all("shoal.cost_usd" not in span for span in told.spans())
    told.close(cost_nusd=2_000)
    assert told.total("shoal.cost", shoal__expert="sql") == 2e-6
    assert told.spans()[-1]["shoal.cost_usd"] == 2e-6


def test_the_routers_electricity_is_charged_where_it_has_a_price() -> None:
    told = Told()
    told.close(cost_nusd=2)
    assert told.total("shoal.cost", shoal__expert="router") == 0
    assert [dict(point.attributes) for point in told.points()["shoal.cost"]] == [{"shoal.expert": "sql"}]
    told.close(router={"router_energy_uj": 5, "electricity": Electricity(10**14, "a price")}, cost_nusd=2)
    assert told.total("shoal.cost", shoal__expert="router") == 5e-10
    assert told.spans()[-1]["shoal.cost_usd"] == 2.5e-9


def test_only_a_stream_has_a_first_chunk() -> None:
    told = Told(OLDER, NEWER)
    told.close()
    names = ("gen_ai.client.operation.time_to_first_chunk", "gen_ai.client.inference.time_to_first_chunk",
             "gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token")  # fmt: skip
    assert not set(names) & set(told.points())
    assert all("gen_ai.response.time_to_first_chunk" not in span for span in told.spans())
    told.close(stream=True, first_byte_us=40_000, total_us=1_040_000, output_tokens=101)
    assert {name: told.points()[name][0].count for name in names} == dict.fromkeys(names, 1)
    assert told.points()[names[-1]][0].sum == pytest.approx(0.01)
    assert told.points()[names[-1]][0].explicit_bounds[:2] == (0.01, 0.025)
    assert told.spans()[-2]["gen_ai.response.time_to_first_chunk"] == 0.04


def test_embeddings_have_metrics_of_their_own_in_the_newer_generation() -> None:
    older, newer = Told(OLDER), Told(NEWER)
    for told in (older, newer):
        told.close("embeddings", input_tokens=7, output_tokens=0)
    assert {name for name in newer.points() if ".client." in name} == {
        "gen_ai.client.embeddings.duration", "gen_ai.client.embeddings.operation.input_tokens",
    }  # fmt: skip
    assert newer.points()["gen_ai.client.embeddings.operation.input_tokens"][0].sum == 7
    assert {name for name in older.points() if ".client." in name} == {
        "gen_ai.client.operation.duration", "gen_ai.client.token.usage",
    }  # fmt: skip


def test_what_a_cache_gave_and_took_is_told_in_the_newer_generation() -> None:
    told = Told(NEWER)
    told.close(cached_tokens=20, cache_write_tokens=30)
    for what, tokens in (("cache_read", 20), ("cache_write", 30)):
        assert told.total(f"gen_ai.client.inference.usage.{what}.input_tokens") == tokens
        assert told.spans()[0][f"gen_ai.usage.{what}.input_tokens"] == tokens


def test_no_instrument_is_made_twice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        told = Told(OLDER, NEWER)
        told.close("embeddings")
        told.close("chat")
    assert "has been created already" not in caplog.text
    assert told.points()["gen_ai.client.operation.duration"][0].count == 1
    assert len(told.points()["gen_ai.client.operation.duration"]) == 2


def test_measured_energy_is_told_once_it_is_known() -> None:
    told = Told()
    told.close(energy_uj=5_000_000, awaits_counter=True)
    assert told.total("shoal.energy", shoal__expert="sql") == 0
    told.story.settled("sql", EnergyMethod.MEASURED, 7_000_000, 3_000)
    assert told.total("shoal.energy", shoal__expert="sql", shoal__source="measured") == 7
    assert told.total("shoal.co2", shoal__expert="sql") == 0.003
    told.story.settled(None, EnergyMethod.MEASURED_SHARE, 2_000_000, 1_000, 3 * 10**18)
    assert told.total("shoal.energy", shoal__expert="router", shoal__source="measured") == 2
    assert told.total("shoal.cost", shoal__expert="router") == pytest.approx(3e-6)


def test_devices_go_by_the_conventions_for_hardware() -> None:
    told = Told()
    told.story.noted([DeviceShare(1, "gpu:0", EnergyMethod.MEASURED, 1_000_000, counter_uj=9_000_000)])
    assert told.total("hw.energy", hw__id="gpu:0", hw__type="gpu", shoal__source="measured") == 9


@pytest.mark.parametrize("sent", [OLDER, NEWER])
def test_an_upstream_cannot_make_series_by_its_words_for_failures(sent: Generation) -> None:
    told = Told(sent)
    for number in range(3 * MOST_ERRORS):
        told.close(status=Status.ERROR, error_code=f"failure_{number}")
    told.close(status=Status.ERROR, error_code="failure_0")
    duration = {OLDER: "gen_ai.client.operation.duration", NEWER: "gen_ai.client.inference.duration"}[sent]
    for points in told.points().values():
        assert len(points) <= MOST_ERRORS + 1
    failed = {dict(point.attributes)["error.type"]: point.count for point in told.points()[duration]}
    assert (failed["failure_0"], failed["_OTHER"]) == (2, 2 * MOST_ERRORS)
    assert told.spans()[-2]["error.type"] == "failure_0"
    assert f"failure_{3 * MOST_ERRORS - 1}" in {span.get("error.type") for span in told.spans()}, "a span has its own"


@pytest.mark.parametrize("code", [None, "CancelledError", "GeneratorExit"])
def test_a_client_that_left_is_called_one_thing_however_it_was_noticed(code: str | None) -> None:
    told = Told()
    left: dict[str, Any] = {"status": Status.CANCELLED, "error_code": code}
    told.close(**left, router={"router_energy_uj": 0, **left})
    assert [span["error.type"] for span in told.spans()] == ["cancelled", "cancelled"]
    durations = told.points()["gen_ai.client.operation.duration"]
    assert [dict(point.attributes)["error.type"] for point in durations] == ["cancelled"]


def test_a_failure_is_counted_and_not_timed_to_its_first_token() -> None:
    told = Told(NEWER)
    told.close(stream=True, status=Status.PARTIAL, error_code="upstream_error", token_source="none")
    used = told.points()["gen_ai.client.inference.usage.input_tokens"][0]
    assert dict(used.attributes)["gen_ai.token.modality"] == "unknown"
    assert dict(used.attributes)["error.type"] == "upstream_error"
    assert "gen_ai.client.inference.operation.input_tokens" not in told.points()
