"""The names of OpenTelemetry's GenAI conventions in both generations, in one table.

The conventions are still in development and changed their metric names in 2026. Most backends know the older ones, so
those are sent unless OTEL_SEMCONV_STABILITY_OPT_IN asks for the newer (`gen_ai_latest_experimental`) or for both
(`gen_ai_latest_experimental/dup`), as the conventions for HTTP did it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST: Final = "gen_ai_latest_experimental"


class Generation(Enum):
    """Which names are sent."""

    OLDER = "older"
    NEWER = "newer"


OLDER, NEWER = Generation.OLDER, Generation.NEWER

SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
"""0.01 to 81.92 s, as the conventions advise."""

FIRST_TOKEN_S: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
EACH_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""As the conventions advise for a server's tokens."""

TOKENS: Final = tuple(float(4**power) for power in range(14))
"""1 to 67,108,864, as the conventions advise."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric: its name, its unit, and its buckets when it is a histogram."""

    name: str
    unit: str
    buckets: tuple[float, ...] | None = None


METRICS: Final[Mapping[str, Mapping[Generation, Instrument]]] = {
    "duration": {
        OLDER: Instrument("gen_ai.client.operation.duration", "s", SECONDS),
        NEWER: Instrument("gen_ai.client.inference.duration", "s", SECONDS),
    },
    "embeddings_duration": {
        OLDER: Instrument("gen_ai.client.operation.duration", "s", SECONDS),
        NEWER: Instrument("gen_ai.client.embeddings.duration", "s", SECONDS),
    },
    "embeddings_input_tokens": {
        NEWER: Instrument("gen_ai.client.embeddings.operation.input_tokens", "{token}", TOKENS),
    },
    "first_chunk": {
        OLDER: Instrument("gen_ai.client.operation.time_to_first_chunk", "s", SECONDS),
        NEWER: Instrument("gen_ai.client.inference.time_to_first_chunk", "s", SECONDS),
    },
    "tokens": {
        OLDER: Instrument("gen_ai.client.token.usage", "{token}", TOKENS),
    },
    "input_tokens": {
        NEWER: Instrument("gen_ai.client.inference.usage.input_tokens", "{token}"),
    },
    "output_tokens": {
        NEWER: Instrument("gen_ai.client.inference.usage.output_tokens", "{token}"),
    },
    "cached_tokens": {
        NEWER: Instrument("gen_ai.client.inference.usage.cache_read.input_tokens", "{token}"),
    },
    "cache_write_tokens": {
        NEWER: Instrument("gen_ai.client.inference.usage.cache_write.input_tokens", "{token}"),
    },
    "reasoning_tokens": {
        NEWER: Instrument("gen_ai.client.inference.usage.reasoning.output_tokens", "{token}"),
    },
    "operation_input_tokens": {
        NEWER: Instrument("gen_ai.client.inference.operation.input_tokens", "{token}", TOKENS),
    },
    "operation_output_tokens": {
        NEWER: Instrument("gen_ai.client.inference.operation.output_tokens", "{token}", TOKENS),
    },
    "server_duration": {
        OLDER: Instrument("gen_ai.server.request.duration", "s", SECONDS),
        NEWER: Instrument("gen_ai.server.request.duration", "s", SECONDS),
    },
    "server_first_token": {
        OLDER: Instrument("gen_ai.server.time_to_first_token", "s", FIRST_TOKEN_S),
        NEWER: Instrument("gen_ai.server.time_to_first_token", "s", FIRST_TOKEN_S),
    },
    "server_each_token": {
        OLDER: Instrument("gen_ai.server.time_per_output_token", "s", EACH_TOKEN_S),
        NEWER: Instrument("gen_ai.server.time_per_output_token", "s", EACH_TOKEN_S),
    },
}
"""What is measured -> its name in each generation; one that a generation does not know is not sent in it.

One that the conventions name is sent in neither: time per output chunk wants a clock read for each chunk of a stream,
on the way of every answer.
"""

OWN: Final[Mapping[str, Instrument]] = {
    "energy": Instrument("shoal.energy", "J"),
    "cost": Instrument("shoal.cost", "USD"),
    "co2": Instrument("shoal.co2", "g"),
    "escalations": Instrument("shoal.escalations", "{request}"),
}
"""The conventions name no energy or money of a request, so these are ours; counters all."""

DEVICE_ENERGY: Final = Instrument("hw.energy", "J")
"""Of a device's counter, or modelled where it has none; a counter of the conventions for hardware."""

ATTRIBUTES: Final[Mapping[str, Mapping[Generation, str]]] = {
    "operation": {OLDER: "gen_ai.operation.name", NEWER: "gen_ai.operation.name"},
    "provider": {OLDER: "gen_ai.provider.name", NEWER: "gen_ai.provider.name"},
    "request_model": {OLDER: "gen_ai.request.model", NEWER: "gen_ai.request.model"},
    "response_model": {OLDER: "gen_ai.response.model", NEWER: "gen_ai.response.model"},
    "response_id": {OLDER: "gen_ai.response.id", NEWER: "gen_ai.response.id"},
    "finish_reasons": {OLDER: "gen_ai.response.finish_reasons", NEWER: "gen_ai.response.finish_reasons"},
    "stream": {NEWER: "gen_ai.request.stream"},
    "first_chunk": {NEWER: "gen_ai.response.time_to_first_chunk"},
    "input_tokens": {OLDER: "gen_ai.usage.input_tokens", NEWER: "gen_ai.usage.input_tokens"},
    "output_tokens": {OLDER: "gen_ai.usage.output_tokens", NEWER: "gen_ai.usage.output_tokens"},
    "cached_tokens": {NEWER: "gen_ai.usage.cache_read.input_tokens"},
    "cache_write_tokens": {NEWER: "gen_ai.usage.cache_write.input_tokens"},
    "reasoning_tokens": {NEWER: "gen_ai.usage.reasoning.output_tokens"},
}
"""What is told of a request or an attempt -> the attribute's name in each generation. No content is among them."""

OPERATIONS: Final = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}
"""Our endpoints in the conventions' words; what is not here is chat."""


def generations(opt_in: str) -> tuple[Generation, ...]:
    """Which names to send for a value of OTEL_SEMCONV_STABILITY_OPT_IN."""
    asked = {word.strip() for word in opt_in.split(",")}
    if f"{LATEST}/dup" in asked:
        return OLDER, NEWER
    return (NEWER,) if LATEST in asked else (OLDER,)


def instruments(what: str, sent: tuple[Generation, ...]) -> list[Instrument]:
    """The metrics that tell `what`, each once."""
    return list(dict.fromkeys(METRICS[what][each] for each in sent if each in METRICS[what]))


def attributes(told: Mapping[str, object], sent: tuple[Generation, ...]) -> dict[str, object]:
    """Attributes under the names that are sent; None is left out."""
    return {
        ATTRIBUTES[what][each]: value
        for what, value in told.items()
        if value is not None
        for each in sent
        if each in ATTRIBUTES[what]
    }
