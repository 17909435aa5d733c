"""The way to an OpenTelemetry collector, opened when the standard OTEL_* variables name one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, Final

from starlette.types import Scope

from experts.errors import ShoalError
from experts.extras import install
from experts.http.upstream import passed_on
from router.otel.names import OPT_IN, generations
from router.otel.story import Story, parent

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
ASKED_BY: Final = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
SPOKEN: Final = "http/protobuf"

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
"""W3C Trace Context, 3.3: printable, and whoever does not read it passes on at least so much."""

FLUSH_MS: Final = 5_000
"""How long the last spans and metrics may take on the way out."""


class OtelError(ShoalError):
    """OpenTelemetry is asked for and cannot be had; the message names the variable and the remedy."""


def asked_for(env: Mapping[str, str]) -> bool:
    """Whether the environment names a collector and does not turn the SDK off."""
    off = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not off and any(env.get(name) for name in ASKED_BY)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Open providers. Nothing of them is global: two services in one process do not share them."""

    story: Story
    """To be told of everything that has ended."""
    _traces: TracerProvider | None
    _spans: OTLPSpanExporter | None
    """What sends the spans of `_traces`."""
    _metrics: MeterProvider | None

    @classmethod
    def open(cls, env: Mapping[str, str], remote: Callable[[str], bool]) -> Pipe:
        """Open what `env` asks for; the SDK reads the rest of its variables itself. Raises `OtelError`."""
        if (protocol := env.get(PROTOCOL) or SPOKEN) != SPOKEN:
            raise OtelError(f"{PROTOCOL}: {protocol!r} is not spoken here. Remedy: set it to {SPOKEN} or leave it out.")
        try:
            from opentelemetry import metrics, trace
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            remedy = f"Remedy: {install('otel')}, or unset the variable."
            raise OtelError(
                f"{_asking(env)}: the OpenTelemetry SDK is not installed ({error.name}). {remedy}"
            ) from None
        named = env.get("OTEL_SERVICE_NAME") or "service.name=" in env.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = Resource.create({} if named else {"service.name": "shoal"})
        traces = spans = meters = None
        if _sent("TRACES", env):
            traces = TracerProvider(resource=resource, shutdown_on_exit=False)
            spans = OTLPSpanExporter()
            traces.add_span_processor(BatchSpanProcessor(spans))
        if _sent("METRICS", env):
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        tracer = (traces or trace.NoOpTracerProvider()).get_tracer("shoal")
        meter = (meters or metrics.NoOpMeterProvider()).get_meter("shoal")
        story = Story(tracer, meter, generations(env.get(OPT_IN, "")), remote)
        return cls(story, traces, spans, meters)

    def close(self) -> None:
        """Send what is left and end; waits a few seconds at most for a collector that is gone.

        Spans and metrics go side by side, so that one does not wait for what the other waited for in vain.
        """
        with ThreadPoolExecutor(2) as pool:
            for ending in [pool.submit(self._end_traces), pool.submit(self._end_metrics)]:
                ending.result()

    def _end_traces(self) -> None:
        """Like the metrics'; the SDK's own shutdown of spans knows no limit, so what sends them is ended after it."""
        if self._traces is not None and self._spans is not None:
            limit = Timer(FLUSH_MS / 1000, self._spans.shutdown)
            limit.start()
            self._traces.shutdown()
            limit.cancel()

    def _end_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.shutdown(FLUSH_MS)


def arrived(scope: Scope) -> None:
    """A request has come in: remember whose span it belongs to, for as long as its task lives.

    The experts asked for it over HTTP are told the same, so that all spans are of one trace; what is no trace context
    is told nobody. `tracestate` is other vendors', so it goes on as it came.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers = dict(header for header in scope["headers"] if header[0] in (TRACEPARENT, TRACESTATE))
    given = headers.get(TRACEPARENT)
    propagator, ours = TraceContextTextMapPropagator(), dict[str, str]()
    context = propagator.extract({TRACEPARENT.decode(): given.decode("latin-1")}) if given is not None else None
    parent.set(context)
    propagator.inject(ours, context or Context())
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in ours.items())
    state = headers.get(TRACESTATE, b"")
    if lines and _STATE.fullmatch(state):
        lines += b"%b: %b\r\n" % (TRACESTATE, state)
    passed_on.set(lines)


def _sent(signal: str, env: Mapping[str, str]) -> bool:
    """Whether traces or metrics go out: there is an endpoint for them, and their exporter is not `none`."""
    there = env.get(ENDPOINT) or env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return bool(there) and env.get(f"OTEL_{signal}_EXPORTER", "otlp") != "none"


def _asking(env: Mapping[str, str]) -> str:
    return next(name for name in ASKED_BY if env.get(name))
