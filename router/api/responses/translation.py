"""A request for a response -> the chat request inside, and what does not fit together in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.api.chat_meaning import only_with
from router.api.complaint import missing
from router.api.errors import ApiError, invalid
from router.api.json_schema import check_schema
from router.api.responses.items import Item, as_messages

Body = dict[str, Any]

NAMES: Final = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "logprobs": "top_logprobs",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
"""What the parameters of the chat inside are called here."""

LOGPROBS: Final = "message.output_text.logprobs"
_SAME: Final = ("model", "stream", "temperature", "top_logprobs", "top_p")
_REFUSED: Final = {
    "background": "Responses are made while the client waits",
    "conversation": "Conversations are not kept here; use 'previous_response_id'",
    "prompt": "Prompt templates are not kept here; send 'instructions' and 'input'",
}
_TRUNCATION: Final = "Input is never cut here; send less, or leave 'truncation' out."


def check_meaning(body: Body, keeps: bool) -> None:
    """Raises `ApiError` about what cannot be had here, or does not fit the rest; `keeps`: responses can be stored."""
    for name, why in _REFUSED.items():
        if body.get(name):
            raise _unsupported(name, f"{why}.")
    if body.get("truncation") == "auto":
        raise _unsupported("truncation", _TRUNCATION)
    if "previous_response_id" in body and not keeps:
        raise _unsupported("previous_response_id", "Responses are not stored here; send the whole conversation.")
    if "stream_options" in body and not body.get("stream"):
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    for at, tool in enumerate(body.get("tools") or ()):
        if tool.get("parameters"):
            where, owner = f"tools[{at}].parameters", f"function '{tool['name']}'"
            check_schema(tool["parameters"], where, owner, "invalid_function_parameters")
    _check_choice(body)
    _check_format((body.get("text") or {}).get("format") or {})


def _unsupported(name: str, why: str) -> ApiError:
    return invalid(f"'{name}' is not supported. {why}", name, "unsupported_parameter")


def _check_choice(body: Body) -> None:
    chosen, tools = body.get("tool_choice"), body.get("tools")
    if chosen is None or isinstance(chosen, str):
        if chosen == "required" and not tools:
            raise only_with("tool_choice", "tools")
        return
    if chosen["type"] == "function" and chosen.get("name") is None:
        raise missing("tool_choice.name")
    if chosen["type"] == "allowed_tools" and not chosen.get("tools"):
        raise missing("tool_choice.tools")
    names = {tool["name"] for tool in tools or ()}
    for name in [chosen["name"]] if chosen["type"] == "function" else [tool["name"] for tool in chosen["tools"]]:
        if name not in names:
            raise invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")


def _check_format(form: Body) -> None:
    if form.get("type") != "json_schema":
        return
    for name in ("name", "schema"):
        if form.get(name) is None:
            raise missing(f"text.format.{name}")
    check_schema(form["schema"], "text.format.schema", f"response_format '{form['name']}'", "invalid_json_schema")


def chat_body(body: Body, items: Sequence[Item]) -> Body:
    """The chat that is asked: `items` are the whole conversation."""
    messages = as_messages(items)
    if body.get("instructions"):
        messages = [{"role": "developer", "content": body["instructions"]}, *messages]
    told: Body = {"messages": messages} | {name: body[name] for name in _SAME if name in body}
    if "max_output_tokens" in body:
        told["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("top_logprobs") or LOGPROBS in (body.get("include") or ()):
        told["logprobs"] = True
    else:
        told.pop("top_logprobs", None)
    text, reasoning = body.get("text") or {}, body.get("reasoning") or {}
    if text.get("verbosity"):
        told["verbosity"] = text["verbosity"]
    if reasoning.get("effort"):
        told["reasoning_effort"] = reasoning["effort"]
    if form := _format(text.get("format") or {}):
        told["response_format"] = form
    return told | _tools(body)


def _format(form: Body) -> Body | None:
    if form.get("type") in (None, "text"):
        return None
    if form["type"] == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {key: value for key, value in form.items() if key != "type"}}


def _tools(body: Body) -> Body:
    if not body.get("tools"):
        return {}
    functions = [{key: value for key, value in tool.items() if key != "type"} for tool in body["tools"]]
    told: Body = {"tools": [{"type": "function", "function": function} for function in functions]}
    if "parallel_tool_calls" in body:  # which a chat may only say with tools, and some clients always say
        told["parallel_tool_calls"] = body["parallel_tool_calls"]
    chosen = body.get("tool_choice")
    if isinstance(chosen, str):
        told["tool_choice"] = chosen
    elif chosen is not None and chosen["type"] == "function":
        told["tool_choice"] = _named(chosen)
    elif chosen is not None:
        allowed = {"mode": chosen.get("mode") or "auto", "tools": [_named(tool) for tool in chosen["tools"]]}
        told["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
    return told


def _named(tool: Body) -> Body:
    return {"type": "function", "function": {"name": tool["name"]}}
