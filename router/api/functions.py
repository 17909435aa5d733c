"""`functions` and `function_call`, as they were before tools: translated into tools on the way in, and back again."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


def uses_functions(body: Body) -> bool:
    """Whether a checked body speaks of functions, in its parameters or its messages."""
    return "functions" in body or any("function_call" in m or m["role"] == "function" for m in body["messages"])


def as_tools(body: Body) -> Body:
    """The same request with tools, each called one at a time."""
    told = {key: value for key, value in body.items() if key not in ("functions", "function_call")}
    told["messages"] = _messages(body["messages"])
    if "functions" in body:
        told["tools"] = [{"type": "function", "function": function} for function in body["functions"]]
        told["parallel_tool_calls"] = False
    chosen = body.get("function_call")
    if chosen is not None:
        told["tool_choice"] = {"type": "function", "function": chosen} if isinstance(chosen, dict) else chosen
    return told


def _messages(messages: list[Body]) -> list[Body]:
    told: list[Body] = []
    calls: dict[str, str] = {}
    """The last call of each function that has no result yet."""
    for at, message in enumerate(messages):
        call = message.get("function_call")
        if call:
            identity = calls[call["name"]] = f"call_{at}"
            rest = {key: value for key, value in message.items() if key != "function_call"}
            message = {**rest, "tool_calls": [{"id": identity, "type": "function", "function": call}]}
        elif message["role"] == "function" and message["name"] in calls:
            identity = calls.pop(message["name"])
            message = {"role": "tool", "tool_call_id": identity, "content": message.get("content") or ""}
        told.append(message)
    return told


def as_functions(answer: Body) -> Body:
    """A chat.completion or a chunk of one in the words of functions."""
    return {**answer, "choices": [_choice(choice) for choice in answer.get("choices") or ()]}


def _choice(choice: Body) -> Body:
    key = "delta" if "delta" in choice else "message"
    said = dict(choice[key])
    calls = said.pop("tool_calls", None)
    if calls and isinstance(calls[0].get("function"), dict):
        said["function_call"] = calls[0]["function"]
    finish = choice.get("finish_reason")
    return {**choice, key: said, "finish_reason": "function_call" if finish == "tool_calls" else finish}
