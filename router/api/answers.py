"""What answers look like, as JSON Schemas for the OpenAPI document. They say what always holds, and no more."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _const(value: str) -> Schema:
    return {"const": value}


def _nullable(kind: str) -> Schema:
    return {"type": [kind, "null"]}


TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
ANY: Final[Schema] = {"type": "object"}
RECEIPT: Final = {**ANY, "description": "who answered, how sure the judge was, what it cost"}

_USAGE: Final = _object(
    {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
    prompt_tokens_details=ANY, completion_tokens_details=ANY,
)  # fmt: skip
_SAID: Final = _object(
    {"role": _const("assistant"), "content": _nullable("string"), "refusal": _nullable("string")},
    tool_calls=_list(ANY), function_call=ANY,
)  # fmt: skip
_CHOICE: Final = _object({"index": COUNT, "message": _SAID, "logprobs": _nullable("object"), "finish_reason": TEXT})
_TEXT_CHOICE: Final = _object({"text": TEXT, "index": COUNT, "logprobs": _nullable("object"), "finish_reason": TEXT})
_HEAD: Final[dict[str, Schema]] = {"id": TEXT, "created": COUNT, "model": TEXT}
_ERROR: Final = _object({"message": TEXT, "type": TEXT, "param": _nullable("string"), "code": _nullable("string")})
_MODEL: Final = _object(
    {"id": TEXT, "object": _const("model"), "created": COUNT, "owned_by": TEXT},
    description=TEXT, context_length=COUNT, default_max_tokens=COUNT,
)  # fmt: skip
_RESPONSE_USAGE: Final = _object(
    {
        "input_tokens": COUNT,
        "input_tokens_details": ANY,
        "output_tokens": COUNT,
        "output_tokens_details": ANY,
        "total_tokens": COUNT,
    }
)

ANSWERS: Final[dict[str, Schema]] = {
    "Error": _object({"error": _ERROR}),
    "AnthropicError": _object({"type": _const("error"), "error": _ERROR, "request_id": TEXT}),
    "ChatCompletion": _object(
        {**_HEAD, "object": _const("chat.completion"), "choices": _list(_CHOICE), "usage": _USAGE}, shoal=RECEIPT
    ),
    "TextCompletion": _object(
        {**_HEAD, "object": _const("text_completion"), "choices": _list(_TEXT_CHOICE), "usage": _USAGE}, shoal=RECEIPT
    ),
    "Response": _object(
        {
            "id": TEXT,
            "object": _const("response"),
            "created_at": COUNT,
            "status": {"enum": ["completed", "incomplete", "failed", "in_progress"]},
            "model": TEXT,
            "output": _list(ANY),
            "parallel_tool_calls": {"type": "boolean"},
            "tool_choice": {"type": ["string", "object"]},
            "tools": _list(ANY),
            "usage": {"anyOf": [_RESPONSE_USAGE, {"type": "null"}]},
        },
        shoal=RECEIPT,
    ),
    "Deleted": _object({"id": TEXT, "object": TEXT, "deleted": {"const": True}}),
    "List": _object({"object": _const("list"), "data": _list(ANY)}, has_more={"type": "boolean"}),
    "Model": _MODEL,
    "AnthropicMessage": _object(
        {
            "id": TEXT,
            "type": _const("message"),
            "role": _const("assistant"),
            "model": TEXT,
            "content": _list(ANY),
            "stop_reason": {"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]},
            "stop_sequence": _nullable("string"),
            "usage": ANY,
        },
        shoal=RECEIPT,
    ),
    "TokenCount": _object({"input_tokens": COUNT}, shoal=ANY),
    "InputTokens": _object({"object": _const("response.input_tokens"), "input_tokens": COUNT}, shoal=ANY),
    "Embeddings": _object(
        {
            "object": _const("list"),
            "data": _list(
                _object(
                    {
                        "object": _const("embedding"),
                        "index": COUNT,
                        "embedding": {"anyOf": [_list({"type": "number"}), TEXT]},
                    }
                )
            ),
            "model": TEXT,
            "usage": _object({"prompt_tokens": COUNT, "total_tokens": COUNT}),
        },
        shoal=RECEIPT,
    ),
    "Route": _object({"decision": ANY}),
}
