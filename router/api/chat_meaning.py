"""What a chat completion must satisfy beyond the type of each value: how its parameters and messages fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router.api.complaint import bad_value, empty_array, missing, wrong_type
from router.api.errors import ApiError, invalid
from router.api.json_schema import check_schema

Body = dict[str, Any]

_PARTS: Final = {
    "system": ("text",),
    "developer": ("text",),
    "tool": ("text",),
    "assistant": ("text", "refusal"),
    "user": ("text", "image_url", "input_audio", "file"),
}
_HOLDS: Final = {"function": "function", "custom": "custom"}


def check_meaning(body: Body) -> None:
    """Raises `ApiError` about the first thing in a body of the right types that does not fit the rest."""
    for name, rule in _RULES.items():
        if name in body:
            rule(body)
    _check_messages(body["messages"])


def _check_logprobs(body: Body) -> None:
    if not body.get("logprobs"):
        raise invalid("'top_logprobs' needs 'logprobs' set to true.", "top_logprobs")


def check_stream_options(body: Body) -> None:
    """Raises `ApiError` when there are options of a stream and no stream."""
    if not body.get("stream"):
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


def _check_limit(body: Body) -> None:
    if "max_completion_tokens" in body:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise invalid(message, "max_tokens", "invalid_parameter_combination")


def check_bias(body: Body) -> None:
    """Raises `ApiError` when a key of `logit_bias` is no token id."""
    for key in body["logit_bias"]:
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            message = f"Invalid key in 'logit_bias': {key[:40]}. You should only be submitting non-negative integers."
            raise invalid(message, "logit_bias", "invalid_value")


def _check_tools(body: Body) -> None:
    if "functions" in body:
        message = "Setting 'tools' and 'functions' at the same time is not supported."
        raise invalid(message, "functions", "invalid_parameter_combination")
    for at, tool in enumerate(body["tools"]):
        kind, where = tool["type"], f"tools[{at}]"
        if tool.get(kind) is None:
            raise missing(f"{where}.{kind}")
        if kind == "function":
            _check_function(tool["function"], f"{where}.function")


def _check_functions(body: Body) -> None:
    for at, function in enumerate(body["functions"]):
        _check_function(function, f"functions[{at}]")


def _check_function(function: Body, where: str) -> None:
    parameters = function.get("parameters")
    if parameters:
        check_schema(parameters, f"{where}.parameters", f"function '{function['name']}'", "invalid_function_parameters")


def _check_function_call(body: Body) -> None:
    chosen, functions = body["function_call"], body.get("functions")
    if not functions:
        raise only_with("function_call", "functions")
    if isinstance(chosen, dict) and chosen["name"] not in {function["name"] for function in functions}:
        raise invalid(f"Function '{chosen['name']}' not found in 'functions' parameter.", "function_call")


def _check_tool_choice(body: Body) -> None:
    chosen, tools = body["tool_choice"], body.get("tools")
    if not tools:
        if chosen == "none":
            return
        raise only_with("tool_choice", "tools")
    if isinstance(chosen, str):
        return
    kind = chosen["type"]
    if chosen.get(kind) is None:
        raise missing(f"tool_choice.{kind}")
    there = {(tool["type"], tool[tool["type"]]["name"]) for tool in tools}
    for name in _named(chosen):
        if name not in there:
            raise invalid(f"Tool choice '{name[1]}' not found in 'tools' parameter.", "tool_choice")


def _named(chosen: Body) -> Iterator[tuple[str, str]]:
    """The kind and the name of each tool that a choice speaks of. Raises `ApiError`."""
    kind = chosen["type"]
    if kind != "allowed_tools":
        yield kind, chosen[kind]["name"]
        return
    for at, tool in enumerate(chosen["allowed_tools"]["tools"]):
        where = f"tool_choice.allowed_tools.tools[{at}]"
        if tool.get("type") not in _HOLDS:
            raise bad_value(f"{where}.type", tool.get("type"), _HOLDS)
        named = tool.get(tool["type"])
        if not isinstance(named, dict) or not isinstance(named.get("name"), str):
            raise missing(f"{where}.{tool['type']}.name")
        yield tool["type"], named["name"]


def _check_parallel(body: Body) -> None:
    if not body.get("tools"):
        raise only_with("parallel_tool_calls", "tools")


def only_with(name: str, other: str) -> ApiError:
    """`name` means nothing without `other`."""
    return invalid(f"Invalid value for '{name}': '{name}' is only allowed when '{other}' are specified.", name)


def _check_format(body: Body) -> None:
    wanted = body["response_format"]
    if wanted["type"] != "json_schema":
        return
    named = wanted.get("json_schema")
    if named is None:
        raise missing("response_format.json_schema")
    if named.get("schema") is None:
        raise missing("response_format.json_schema.schema")
    where = "response_format.json_schema.schema"
    check_schema(named["schema"], where, f"response_format '{named['name']}'", "invalid_json_schema")


_RULES: Final = {
    "top_logprobs": _check_logprobs,
    "stream_options": check_stream_options,
    "max_tokens": _check_limit,
    "logit_bias": check_bias,
    "tools": _check_tools,
    "functions": _check_functions,
    "function_call": _check_function_call,
    "tool_choice": _check_tool_choice,
    "parallel_tool_calls": _check_parallel,
    "response_format": _check_format,
}


def _check_messages(messages: list[Body]) -> None:
    waiting: dict[str, None] = {}
    """Calls of the last assistant message that no tool message has answered yet."""
    caller = 0
    for at, message in enumerate(messages):
        role = message["role"]
        if role != "tool" and waiting:
            raise _unanswered(caller, waiting)
        if role == "tool":
            _check_tool_message(message, at, waiting)
        elif role == "assistant":
            _check_assistant(message, at)
            waiting, caller = {call["id"]: None for call in message.get("tool_calls") or ()}, at
        elif role == "function" and message.get("name") is None:
            raise missing(f"messages[{at}].name")
        _check_content(message, at)
    if waiting:
        raise _unanswered(caller, waiting)


def _check_tool_message(message: Body, at: int, waiting: dict[str, None]) -> None:
    call = message.get("tool_call_id")
    if call is None:
        raise missing(f"messages[{at}].tool_call_id")
    if call not in waiting:
        said = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
        raise invalid(f"Invalid parameter: {said}.", f"messages[{at}].role")
    del waiting[call]


def _unanswered(at: int, waiting: dict[str, None]) -> Exception:
    said = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    names = ", ".join(name[:64] for name in list(waiting)[:8])
    message = f"{said} The following tool_call_ids did not have response messages: {names}"
    return invalid(message, f"messages[{at}].tool_calls")


def _check_assistant(message: Body, at: int) -> None:
    calls = message.get("tool_calls")
    if calls is not None and not calls:
        raise empty_array(f"messages[{at}].tool_calls")
    for place, call in enumerate(calls or ()):
        if call.get(call["type"]) is None:
            raise missing(f"messages[{at}].tool_calls[{place}].{call['type']}")


def _check_content(message: Body, at: int) -> None:
    content, role, where = message.get("content"), message["role"], f"messages[{at}].content"
    if isinstance(content, str):
        return
    if content is None:
        if role == "assistant" and (message.keys() & {"tool_calls", "function_call", "refusal", "audio"}):
            return
        if role == "function":
            return
        if "content" not in message:
            raise missing(where)
        raise wrong_type(where, ["a string", "an array of objects"], None)
    if not content:
        raise empty_array(where)
    for place, part in enumerate(content):
        kind = part["type"]
        if kind not in _PARTS.get(role, ("text",)):
            raise bad_value(f"{where}[{place}].type", kind, _PARTS.get(role, ("text",)))
        if part.get(kind) is None:
            raise missing(f"{where}[{place}].{kind}")
