"""A request for a message -> the chat inside, and what does not fit together in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from router.api.complaint import bad_value, missing
from router.api.errors import ApiError, invalid
from router.api.json_schema import check_schema
from router.api.result_parts import only_text

Body = dict[str, Any]

NAMES: Final = {
    "stop": "stop_sequences",
    "reasoning_effort": "thinking",
    "response_format": "output_config.format",
}
"""What the parameters of the chat inside are called here."""

IGNORED: Final = ("top_k",)
"""Parameters no OpenAI-compatible expert takes; they are named in a header."""

_BLOCKS: Final = {"user": ("text", "image", "tool_result"), "assistant": ("text", "tool_use")}
_RESULTS: Final = ("text", "image")
_HELD: Final = {
    "text": ("text",),
    "image": ("source",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
}
_SOURCES: Final = {"base64": ("media_type", "data"), "url": ("url",)}
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_SAME: Final = ("model", "max_tokens", "stream", "temperature", "top_p")
_EFFORTS: Final = ((2048, "low"), (8192, "medium"))
"""Tokens of thinking up to which an effort is meant; beyond it is high."""


def check_meaning(body: Body) -> None:
    """Raises `ApiError` about the first thing in a body of the right types that does not fit the rest."""
    if "thread" in body:
        raise _unthreaded()
    for at, turn in enumerate(body["messages"]):
        if isinstance(turn["content"], list):
            _check_blocks(turn["content"], f"messages[{at}].content", _BLOCKS[turn["role"]])
    if body["messages"][-1]["role"] == "assistant":
        message = "The last message must be the user's: an answer that has begun cannot be gone on with here."
        raise invalid(message, "messages", "unsupported_parameter")
    for at, tool in enumerate(body.get("tools") or ()):
        schema, owner = tool["input_schema"], f"tool '{tool['name']}'"
        check_schema(schema, f"tools[{at}].input_schema", owner, "invalid_function_parameters")
    _check_choice(body)
    if form := (body.get("output_config") or {}).get("format"):
        check_schema(form["schema"], "output_config.format.schema", "output format", "invalid_json_schema")


def _unthreaded() -> ApiError:
    """In the words after which Anthropic's tool runners go on without a thread."""
    message = "'thread' is not supported. Conversations are not kept here; send all messages and no 'thread'."
    error = invalid(message, "thread", "unsupported_parameter")
    error.details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return error


def _check_blocks(blocks: list[Body], where: str, allowed: Sequence[str]) -> None:
    for place, block in enumerate(blocks):
        kind = block["type"]
        if kind not in allowed:
            raise bad_value(f"{where}[{place}].type", kind, allowed)
        _check_held(block, _HELD[kind], f"{where}[{place}]")
        if kind == "image":
            _check_held(block["source"], _SOURCES[block["source"]["type"]], f"{where}[{place}].source")
        if kind == "tool_result" and isinstance(block.get("content"), list):
            _check_blocks(block["content"], f"{where}[{place}].content", _RESULTS)


def _check_held(held: Body, names: Sequence[str], where: str) -> None:
    for name in names:
        if held.get(name) is None:
            raise missing(f"{where}.{name}")


def _check_choice(body: Body) -> None:
    chosen = body.get("tool_choice")
    if chosen is None or chosen["type"] in ("auto", "none"):
        return
    if not body.get("tools"):
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if chosen["type"] == "tool":
        if chosen.get("name") is None:
            raise missing("tool_choice.name")
        if chosen["name"] not in {tool["name"] for tool in body["tools"]}:
            raise invalid(f"Tool '{chosen['name']}' not found in provided tools.", "tool_choice.name")


def chat_body(body: Body) -> Body:
    """The chat that is asked."""
    messages: list[Body] = []
    if system := body.get("system"):
        text = system if isinstance(system, str) else "\n".join(block["text"] for block in system)
        messages.append({"role": "system", "content": text})
    waiting: set[str] = set()
    for at, turn in enumerate(body["messages"]):
        spoken = _turn(turn)
        waiting = _waiting(spoken, waiting, at)
        messages += spoken
    told: Body = {"messages": messages} | {name: body[name] for name in _SAME if name in body}
    if body.get("stop_sequences"):
        told["stop"] = body["stop_sequences"]
    output, thinking = body.get("output_config") or {}, body.get("thinking") or {}
    if form := output.get("format"):
        named = {"name": "output", "schema": form["schema"], "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": named}
    if effort := output.get("effort") or _effort(thinking):
        told["reasoning_effort"] = effort
    return told | _tools(body)


def _effort(thinking: Body) -> str | None:
    if thinking.get("type") in (None, "disabled"):
        return None
    budget = thinking.get("budget_tokens") or _EFFORTS[-1][0]
    return next((effort for most, effort in _EFFORTS if budget <= most), "high")


def _turn(turn: Body) -> list[Body]:
    """A turn as messages: results of tools come first, each as a message of its own; their images follow."""
    content, role = turn["content"], turn["role"]
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    parts: list[Body] = []
    messages = [_result(block, parts) for block in content if block["type"] == "tool_result"]
    parts += [_part(block) for block in content if block["type"] in ("text", "image")]
    calls = [_call(block) for block in content if block["type"] == "tool_use"]
    if calls:
        messages.append({"role": role, "content": parts or None, "tool_calls": calls})
    elif parts:
        messages.append({"role": role, "content": parts})
    return messages


def _result(block: Body, carried: list[Body]) -> Body:
    content = block.get("content") or ""
    said = only_text(map(_part, content), carried) if isinstance(content, list) else [{"text": content}]
    text = "\n".join(part["text"] for part in said)
    if block.get("is_error"):
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}


def _call(block: Body) -> Body:
    function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
    return {"id": block["id"], "type": "function", "function": function}


def _part(block: Body) -> Body:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    source = block["source"]
    url = source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"
    return {"type": "image_url", "image_url": {"url": url}}


def _waiting(messages: list[Body], waiting: set[str], at: int) -> set[str]:
    """The calls that have no result yet after the messages of the turn `at`, of those that had none before it.

    Every call is answered in the very next turn, and nothing else is. Raises `ApiError` about what is not so.
    """
    for message in messages:
        if message["role"] == "tool":
            call = message["tool_call_id"]
            if call not in waiting:
                raise _unmatched(at, f"unexpected 'tool_use_id' in 'tool_result' blocks: {call[:64]}")
            waiting.discard(call)
        elif waiting:
            raise _unmatched(at, f"'tool_use' ids were found without 'tool_result' blocks: {min(waiting)[:64]}")
        else:
            waiting = {call["id"] for call in message.get("tool_calls") or ()}
    return waiting


def _unmatched(at: int, what: str) -> ApiError:
    return invalid(f"messages[{at}]: {what}.", f"messages[{at}].content")


def _tools(body: Body) -> Body:
    if not body.get("tools"):
        return {}
    tools = [
        {
            "name": tool["name"],
            "parameters": tool["input_schema"],
            **{name: tool[name] for name in ("description", "strict") if tool.get(name) not in (None, "")},
        }
        for tool in body["tools"]
    ]
    told: Body = {"tools": [{"type": "function", "function": tool} for tool in tools]}
    chosen = body.get("tool_choice") or {}
    if chosen.get("disable_parallel_tool_use"):
        told["parallel_tool_calls"] = False
    if chosen.get("type") == "tool":
        told["tool_choice"] = {"type": "function", "function": {"name": chosen["name"]}}
    elif chosen:
        told["tool_choice"] = _CHOICES[chosen["type"]]
    return told
