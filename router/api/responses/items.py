"""Items of a Responses conversation -> the messages of a chat. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from router.api.complaint import bad_value, missing
from router.api.errors import ApiError, invalid
from router.api.result_parts import only_text

Item = dict[str, Any]

_NEEDS: Final = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "item_reference": ("id",),
}
_USERS: Final = ("input_text", "input_image", "input_file")
_ASSISTANTS: Final = ("output_text", "refusal", "input_text")


def as_items(given: str | list[Item]) -> list[Item]:
    """What was sent as `input`, as items of a named type."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [{**item, "type": item.get("type") or "message"} for item in given]


def references(items: list[Item]) -> list[str]:
    """The ids of items that are only named."""
    return [item["id"] for item in items if item["type"] == "item_reference"]


def filled_in(items: list[Item], found: dict[str, Item]) -> list[Item]:
    """The items, each that is only named replaced by what it names. Raises `ApiError` about one that is not found."""
    for identity in references(items):
        if identity not in found:
            why = "Items are not persisted when `store` is set to false. Send the item itself."
            message = f"Item with id '{identity[:128]}' not found. {why}"
            raise ApiError(404, message, param="input", code="item_not_found")
    return [found[item["id"]] if item["type"] == "item_reference" else item for item in items]


def check_items(items: list[Item]) -> None:
    """Raises `ApiError` about the first item that lacks something its type needs."""
    for at, item in enumerate(items):
        for name in _NEEDS[item["type"]]:
            if item.get(name) is None:
                raise missing(f"input[{at}].{name}")
        if isinstance(item.get("content"), list):
            _check_parts(item["content"], f"input[{at}].content", item.get("role"))
        if isinstance(item.get("output"), list):
            _check_parts(item["output"], f"input[{at}].output", "user")


def _check_parts(parts: list[Item], where: str, role: str | None) -> None:
    allowed = _ASSISTANTS if role == "assistant" else _USERS
    for place, part in enumerate(parts):
        kind = part["type"]
        if kind not in allowed:
            raise bad_value(f"{where}[{place}].type", kind, allowed)
        if kind != "input_file" and part.get(_HELD[kind]) is None:
            raise missing(f"{where}[{place}].{_HELD[kind]}")


_HELD: Final = {
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "input_image": "image_url",
}


def as_messages(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The conversation as chat messages. Raises `ApiError` when calls and their outputs do not match.

    OpenAI finds the output of a call by its id wherever it stands, and some clients say the question again before it. A
    chat has both together, so calls wait here for their outputs.
    """
    messages: list[dict[str, Any]] = []
    waiting: dict[str, Item] = {}
    given: dict[str, Any] = {}
    for are_outputs, group in groupby(items, lambda item: item["type"] == "function_call_output"):
        if are_outputs:
            found = [(call, output) for output in group if (call := _call_of(output, waiting, given))]
            for call, _ in found:
                _add_call(messages, call)
            carried: list[dict[str, Any]] = []
            messages += [_result(output, carried) for _, output in found]
            messages += [{"role": "user", "content": carried}] if carried else []
            continue
        for item in group:
            if item["type"] != "function_call":
                messages.append({"role": item["role"], "content": _content(item["content"])})
            elif waiting.setdefault(item["call_id"], item) is not item:
                raise _unanswered(item["call_id"])
    for call_id in waiting:
        raise _unanswered(call_id)
    return messages


def _call_of(output: Item, waiting: dict[str, Item], given: dict[str, Any]) -> Item | None:
    """The call that waited for this output; None where a client says again what was `given` to it."""
    call_id = output["call_id"]
    if call_id in waiting:
        given[call_id] = output["output"]
        return waiting.pop(call_id)
    if given.get(call_id) == output["output"]:
        return None
    raise _unmatched(f"No tool call found for function call output with call_id {call_id[:64]}.")


def _unanswered(call_id: str) -> ApiError:
    return _unmatched(f"No tool output found for function call {call_id[:64]}.")


def _unmatched(message: str) -> ApiError:
    return invalid(message, "input")


def _add_call(messages: list[dict[str, Any]], item: Item) -> None:
    """A call belongs to the assistant's message before it, and calls that follow one another to one message."""
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _result(output: Item, carried: list[dict[str, Any]]) -> dict[str, Any]:
    content = _content(output["output"])
    said = only_text(content, carried) if isinstance(content, list) else content
    return {"role": "tool", "tool_call_id": output["call_id"], "content": said}


def _content(content: str | list[Item]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Item) -> dict[str, Any]:
    kind = part["type"]
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail") or "auto"}}
    if kind == "input_file":
        return {"type": "file", "file": {key: value for key, value in part.items() if key != "type"}}
    return (
        {"type": "refusal", "refusal": part["refusal"]} if kind == "refusal" else {"type": "text", "text": part["text"]}
    )
