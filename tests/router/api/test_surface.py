"""What every surface says of what it did not hear, and of what an upstream says is wrong."""

from __future__ import annotations

import pytest

from router.api.errors import ApiError
from router.api.messages.translation import NAMES as IN_MESSAGES
from router.api.responses.translation import NAMES as IN_RESPONSES
from router.api.surface import IGNORED_CHARS, ignored_headers, renamed
from router.request import ChatRequest


def request(ignored: tuple[str, ...] = (), names: dict[str, str] | None = None) -> ChatRequest:
    return ChatRequest("r", {"model": "auto", "messages": []}, ignored=ignored, names=names or {})


@pytest.mark.parametrize(
    ("ignored", "told"),
    [
        (("top_k", "n_discard"), "top_k, n_discard"),
        (("größe", "a, b", "\r\nx: y"), "gr%C3%B6%C3%9Fe, a%2C%20b, %0D%0Ax%3A%20y"),
        (("x" * 65,), "x" * 61 + "..."),
        (("é" * 64, "b"), "and 2 more"),
        (("a", "é" * 64, "b"), "a, and 2 more"),
    ],
)
def test_every_name_that_was_not_heard_is_told_or_counted(ignored: tuple[str, ...], told: str) -> None:
    """One that is not ASCII was left out, and the last was cut in the middle."""
    assert ignored_headers(request(ignored)) == [(b"x-shoal-ignored-params", told.encode())]


def test_many_names_are_whole_and_the_rest_counted() -> None:
    names = tuple(f"name_{at}" for at in range(1000))
    ((_, told),) = ignored_headers(request(names))
    *first, last = told.decode().split(", ")
    assert tuple(first) == names[: len(first)]
    assert last == f"and {1000 - len(first)} more"
    assert IGNORED_CHARS - len("name_100, ") < len(", ".join(first)) <= IGNORED_CHARS
    assert ignored_headers(request()) == []


INNER = "messages[1].tool_calls[0].function.name"


@pytest.mark.parametrize(
    ("names", "said", "param"),
    [
        (IN_MESSAGES, INNER, "messages"),
        (IN_MESSAGES, "tools[0].function.parameters", "tools"),
        (IN_MESSAGES, "response_format", "output_config.format"),
        (IN_MESSAGES, "response_format.json_schema", "output_config.format"),
        (IN_MESSAGES, "output_config.format", "output_config.format"),
        (IN_RESPONSES, INNER, "input"),
        (IN_RESPONSES, "max_completion_tokens", "max_output_tokens"),
        (IN_RESPONSES, "reasoning.effort", "reasoning.effort"),
        ({}, INNER, INNER),
    ],
)
def test_what_an_upstream_says_of_a_parameter_is_told_of_the_clients_own(
    names: dict[str, str], said: str, param: str
) -> None:
    message = "Invalid '{}': string does not match pattern."
    error = renamed(ApiError(400, message.format(said), param=said), request(names=names))
    assert (error.param, error.message) == (param, message.format(param))
