"""Text completions (OpenAI's /v1/completions) in the words of a chat: behind the wire there is one form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experts.wire import Prompt

Body = dict[str, Any]


def text_request(body: Body, prompts: Sequence[Prompt]) -> Body:
    """The text completion that a chat body with `prompts` asks for."""
    told = {key: value for key, value in body.items() if key not in ("messages", "logprobs", "top_logprobs")}
    told["prompt"] = prompts[0] if len(prompts) == 1 else list(prompts)
    if body.get("logprobs"):
        told["logprobs"] = body.get("top_logprobs") or 0
    return told


def as_chat(body: Any) -> Any:
    """A whole text completion as a chat completion; what is none comes back as it is."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        return body
    return {**body, "object": "chat.completion", "choices": [_choice(c, "message") for c in body["choices"]]}


def as_chat_chunk(chunk: Body) -> Body:
    """One chunk of a text completion as a chunk of a chat completion; what is none comes back as it is."""
    if not isinstance(chunk.get("choices"), list):
        return chunk
    return {**chunk, "object": "chat.completion.chunk", "choices": [_choice(c, "delta") for c in chunk["choices"]]}


def _choice(choice: Any, key: str) -> Any:
    if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
        return choice
    rest = {name: value for name, value in choice.items() if name not in ("text", "logprobs")}
    said: Body = {"content": choice["text"]} if choice["text"] or key == "message" else {}
    return {**rest, key: said, "logprobs": _logprobs(choice.get("logprobs"))}


def _logprobs(told: Any) -> Any:
    """OpenAI's four parallel lists as a list of tokens; llama.cpp sends the latter anyway."""
    if not isinstance(told, dict) or "content" in told or not isinstance(told.get("tokens"), list):
        return told
    tokens, values = told["tokens"], told.get("token_logprobs") or []
    tops = told.get("top_logprobs") or [{}] * len(tokens)
    content = []
    for token, logprob, top in zip(tokens, values, tops, strict=False):
        others = sorted((top or {}).items(), key=lambda pair: -pair[1])
        content.append({**_token(token, logprob), "top_logprobs": [_token(*other) for other in others]})
    return {"content": content, "refusal": None}


def _token(token: str, logprob: float | None) -> Body:
    return {"token": token, "logprob": 0.0 if logprob is None else logprob, "bytes": list(token.encode())}
