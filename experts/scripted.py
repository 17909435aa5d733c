"""A deterministic expert that follows a script: for tests, demos and replay. It ships; it is no mock.

A row of the script, of which the first whose `match` is found in the last user message applies:

    match      regular expression, found in time linear in the text whoever wrote that; so there are no lookarounds and
               no backreferences (https://docs.rs/regex has the syntax). Of a long message both ends are looked at
    reply      what is answered; may be left out when there are chunks, tool calls or a failure. {tool} stands for the
               last result of a tool
    chunks     the same as a list, if it matters how a stream cuts it; words otherwise
    delay_s    seconds waited before the answer, and in a stream before every chunk
    logprobs   a log-probability for every chunk, told to those who ask for them; 0 when left out
    tool_calls [{name, arguments}] called instead, by those who are offered tools and have no result of one yet
    fail       unavailable, overloaded, timeout or failed before the answer; cut after its first chunk

Python's `re` tries again and again: 28 letters of a client's against `(a+)+$` held the event loop for 88 s. A limit of
time would answer by how busy the machine is; Rust's `regex`, which pydantic brings, has no such texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import orjson
from msgspec.structs import replace
from pydantic import BeforeValidator, Field, InstanceOf, ValidationError, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertTimedOut,
    ExpertUnavailable,
    RegistryError,
)
from experts.frozen import Frozen
from experts.reply import Spoken, chat_id, choices, completion, events, limited, texts, usage, words
from experts.rows import numbered_rows, wrong_row
from experts.spec import ScriptedSpec
from experts.wire import Call, Completion, Events, Usage

Failure = Literal["unavailable", "overloaded", "timeout", "failed", "cut"]

FAILURES: dict[Failure, Callable[[str, str], ExpertError]] = {
    "unavailable": ExpertUnavailable,
    "overloaded": ExpertOverloaded,
    "timeout": ExpertTimedOut,
    "failed": ExpertFailed,
    "cut": ExpertFailed,
}

END_CHARS: Final = 16_384
"""Characters that are looked at from either end of a message, as the router does: linear time is long for 10 MB."""


def _linear(pattern: str) -> SchemaValidator:
    """Tells of a text, by `isinstance_python`, whether the pattern is found in it. Raises ValueError."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        raise ValueError(str(error).splitlines()[-1].partition(": ")[2].rstrip(".")) from None


class ScriptedCall(Frozen):
    """A tool to call."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Rule(Frozen):
    """A row of a script."""

    match: Annotated[InstanceOf[SchemaValidator], BeforeValidator(_linear)]
    reply: str = ""
    chunks: tuple[str, ...] = ()
    delay_s: float = Field(default=0, ge=0)
    logprobs: tuple[float, ...] | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    fail: Failure | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.parts and not self.tool_calls and self.fail in (None, "cut"):
            raise ValueError("there is neither a reply nor a failure before it")
        if self.logprobs is not None and len(self.logprobs) != len(self.parts):
            raise ValueError(f"logprobs must be {len(self.parts)} numbers, one for every chunk")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The chunks, or the words of the reply with the blanks that follow them."""
        return self.chunks or tuple(words(self.reply))


class ScriptedExpert:
    """See `experts.protocol.Expert`. Its tokens are words."""

    def __init__(self, expert_id: str, rules: Sequence[Rule]) -> None:
        self._id = expert_id
        self._rules = rules

    @classmethod
    def load(cls, spec: ScriptedSpec) -> Self:
        """Read the script. Raises RegistryError naming every wrong line."""
        return cls(spec.id, rules_of(spec.script))

    async def complete(self, call: Call) -> Completion:
        """The scripted answer. Raises the scripted failure, ExpertFailed also when no row matches."""
        rules = self._find(call)
        await asyncio.sleep(rules[0].delay_s)
        if rules[0].fail:
            raise self._failure(rules[0].fail)
        said = [_said(rule, call) for rule in rules]
        return completion(chat_id(self._id, call), _times(said, call), _usage(call, said))

    async def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The scripted answer, chunk by chunk. Raises as `complete` does, `cut` after the first chunk."""
        rules = self._find(call)
        fail, delay_s = rules[0].fail, rules[0].delay_s
        if fail and fail != "cut":
            await asyncio.sleep(delay_s)
            raise self._failure(fail)
        said = [_said(rule, call) for rule in rules]
        opening, *deltas, closing = events(chat_id(self._id, call), _times(said, call), _usage(call, said))
        for delta in deltas:
            await asyncio.sleep(delay_s)
            yield [*opening, *delta]
            opening = []
            if fail:
                raise self._failure(fail)
        yield [*opening, *closing]

    async def count(self, call: Call) -> int:
        """The words of the prompt."""
        return usage(call, "", _count).input

    async def aclose(self) -> None:
        """Nothing is held."""

    def _find(self, call: Call) -> list[Rule]:
        """The row for the last user message, or for each prompt. Raises ExpertFailed when one has none."""
        *_, said = ["", *texts(call.body, "user")]
        asked = [prompt if isinstance(prompt, str) else "" for prompt in call.prompts] or [said]
        read = map(_ends, asked)
        found = [next((rule for rule in self._rules if rule.match.isinstance_python(text)), None) for text in read]
        rules = [rule for rule in found if rule is not None]
        if len(rules) < len(asked):
            raise ExpertFailed(self._id, "no row of the script matches the last user message")
        return rules

    def _failure(self, name: Failure) -> ExpertError:
        return FAILURES[name](self._id, f"{name}, as scripted")


def rules_of(path: Path) -> list[Rule]:
    """The rows of a script. Raises RegistryError naming every wrong line."""
    rules: list[Rule] = []
    problems: list[str] = []
    for line, row in numbered_rows(path, {"match": str}):
        try:
            rules.append(Rule.model_validate(row))
        except ValidationError as error:
            problems += [wrong_row(path, line, _worded(one)) for one in error.errors()]
    if problems:
        raise RegistryError(problems)
    return rules


def _ends(text: str) -> str:
    return text if len(text) <= 2 * END_CHARS else f"{text[:END_CHARS]}\n{text[-END_CHARS:]}"


def _said(rule: Rule, call: Call) -> Spoken:
    if calls := _calls(rule, call):
        return Spoken((), "tool_calls", None, calls)
    *_, result = ["", *texts(call.body, "tool")]
    said = limited([part.replace("{tool}", result) for part in rule.parts], call, _count)
    return replace(said, logprobs=_logprobs(rule, said.parts, call))


def _calls(rule: Rule, call: Call) -> list[dict[str, Any]]:
    """The tools to call now, as the request's `tool_choice` and `parallel_tool_calls` allow."""
    body = call.body
    chosen = body.get("tool_choice")
    if not body.get("tools") or chosen == "none" or body["messages"][-1]["role"] == "tool":
        return []
    offered = [tool["function"]["name"] for tool in body["tools"] if tool["type"] == "function"]
    forced = chosen == "required"
    if isinstance(chosen, dict):
        allowed = chosen.get("allowed_tools") or {"mode": "required", "tools": [chosen]}
        forced = allowed["mode"] == "required"
        offered = [tool["function"]["name"] for tool in allowed["tools"]]
    wanted = [scripted for scripted in rule.tool_calls if scripted.name in offered]
    if forced and not wanted:
        wanted = [ScriptedCall(name=name) for name in offered[:1]]
    if body.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return [
        {
            "id": f"call_{call.request_id}_{at}",
            "type": "function",
            "function": {"name": scripted.name, "arguments": orjson.dumps(scripted.arguments).decode()},
        }
        for at, scripted in enumerate(wanted)
    ]


def _logprobs(rule: Rule, parts: Sequence[str], call: Call) -> list[dict[str, Any]] | None:
    """For every chunk what OpenAI calls its `logprobs`; None when nobody asked."""
    if not call.body.get("logprobs"):
        return None
    values = rule.logprobs or (0.0,) * len(parts)
    top = call.body.get("top_logprobs") or 0
    return [{"content": [_token(part, logprob, top)]} for part, logprob in zip(parts, values, strict=False)]


def _token(part: str, logprob: float, top: int) -> dict[str, Any]:
    """A chunk as a token, and as its alternatives ever less likely words that the script does not hold."""
    told = {"token": part, "logprob": logprob, "bytes": list(part.encode())}
    others = (f"other{at}" for at in range(1, top))
    less = [
        {"token": word, "logprob": logprob - 10.0 - at, "bytes": list(word.encode())} for at, word in enumerate(others)
    ]
    return {**told, "top_logprobs": [told, *less][:top]}


def _times(said: Sequence[Spoken], call: Call) -> list[Spoken]:
    """Each as often as there shall be choices."""
    return [one for one in said for _ in range(choices(call))]


def _usage(call: Call, said: Sequence[Spoken]) -> Usage:
    called = [f"{one['function']['name']} {one['function']['arguments']}" for each in said for one in each.calls]
    return usage(call, " ".join(called) or " ".join(each.text for each in said), _count)


def _worded(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _count(text: str) -> int:
    return len(text.split())
