"""A deterministic expert that follows a script: for tests, demos and replay. It ships; it is no mock.

A row of the script, of which the first whose `match` is found in the last user message applies:

    match      regular expression
    reply      what is answered; may be left out when there are chunks or a failure
    chunks     the same as a list, if it matters how a stream cuts it; words otherwise
    delay_s    seconds waited before the answer, and in a stream before every chunk
    logprobs   a log-probability for every chunk, told to those who ask for them
    fail       unavailable, overloaded, timeout or failed before the answer; cut after its first chunk
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertTimedOut,
    ExpertUnavailable,
    RegistryError,
)
from experts.reply import chat_id, events, texts, usage
from experts.rows import numbered_rows, wrong_row
from experts.spec import Frozen, ScriptedSpec
from experts.wire import Call, Completion, Events

Failure = Literal["unavailable", "overloaded", "timeout", "failed", "cut"]

FAILURES: dict[Failure, Callable[[str, str], ExpertError]] = {
    "unavailable": ExpertUnavailable,
    "overloaded": ExpertOverloaded,
    "timeout": ExpertTimedOut,
    "failed": ExpertFailed,
    "cut": ExpertFailed,
}


class Rule(Frozen):
    """A row of a script."""

    match: re.Pattern[str]
    reply: str = ""
    chunks: tuple[str, ...] = ()
    delay_s: float = Field(default=0, ge=0)
    logprobs: tuple[float, ...] | None = None
    fail: Failure | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.parts and self.fail in (None, "cut"):
            raise ValueError("there is neither a reply nor a failure before it")
        if self.logprobs is not None and len(self.logprobs) != len(self.parts):
            raise ValueError(f"logprobs must be {len(self.parts)} numbers, one for every chunk")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The chunks, or the words of the reply with the blanks that follow them."""
        return self.chunks or tuple(re.findall(r"\S+\s*|\s+", self.reply))


class ScriptedExpert:
    """See `experts.protocol.Expert`. Its tokens are words."""

    def __init__(self, expert_id: str, rules: Sequence[Rule]) -> None:
        self._id = expert_id
        self._rules = rules

    @classmethod
    def load(cls, spec: ScriptedSpec) -> Self:
        """Read the script. Raises RegistryError naming every wrong line."""
        rules: list[Rule] = []
        problems: list[str] = []
        for line, row in numbered_rows(spec.script, {"match": str}):
            try:
                rules.append(Rule.model_validate(row))
            except ValidationError as error:
                problems += [wrong_row(spec.script, line, _worded(one)) for one in error.errors()]
        if problems:
            raise RegistryError(problems)
        return cls(spec.id, rules)

    async def complete(self, call: Call) -> Completion:
        """The scripted answer. Raises the scripted failure, ExpertFailed also when no row matches."""
        rule = self._find(call)
        await asyncio.sleep(rule.delay_s)
        if rule.fail:
            raise self._failure(rule.fail)
        text = "".join(rule.parts)
        answer = chat_id(self._id, call).completion(text, usage(call, text, _words))
        if told := _told(rule, call):
            content = [token for logprobs in told for token in logprobs["content"]]
            answer.body["choices"][0]["logprobs"] = {"content": content, "refusal": None}
        return answer

    async def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The scripted answer, chunk by chunk. Raises as `complete` does, `cut` after the first chunk."""
        rule = self._find(call)
        if rule.fail and rule.fail != "cut":
            await asyncio.sleep(rule.delay_s)
            raise self._failure(rule.fail)
        spent = usage(call, "".join(rule.parts), _words)
        role, *said, finish, last = events(chat_id(self._id, call), rule.parts, spent, _told(rule, call))
        for position, event in enumerate(said):
            await asyncio.sleep(rule.delay_s)
            yield [role, event] if position == 0 else [event]
            if rule.fail:
                raise self._failure(rule.fail)
        yield [finish, last]

    async def aclose(self) -> None:
        """Nothing is held."""

    def _find(self, call: Call) -> Rule:
        *_, said = ["", *texts(call.body, "user")]
        rule = next((rule for rule in self._rules if rule.match.search(said)), None)
        if rule is None:
            raise ExpertFailed(self._id, "no row of the script matches the last user message")
        return rule

    def _failure(self, name: Failure) -> ExpertError:
        return FAILURES[name](self._id, f"{name}, as scripted")


def _told(rule: Rule, call: Call) -> list[dict[str, Any]] | None:
    """For every chunk what OpenAI calls its `logprobs`; None when nobody asked or there are none."""
    if rule.logprobs is None or not call.body.get("logprobs"):
        return None
    return [
        {"content": [{"token": part, "logprob": logprob, "bytes": list(part.encode()), "top_logprobs": []}]}
        for part, logprob in zip(rule.parts, rule.logprobs, strict=True)
    ]


def _worded(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def _words(text: str) -> int:
    return len(text.split())
