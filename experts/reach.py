"""Does the server of an expert answer, and has it the model? Asked once, of its list of models, and never an error.

By the client that serves, so what it can reach is what serving can: the same TLS and key, no redirection followed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from experts.errors import ExpertError, ExpertFailed, ExpertUnauthorised
from experts.http.refusal import redact
from experts.openai_http import OpenAIExpert
from experts.spec import AnySpec, OpenAISpec, Timeouts

PATIENCE_S: Final = 5.0
"""For all of it. A server that starts when it is asked takes longer, and is told as one that does not answer."""

_NAMED: Final = 5
_NAME_CHARS: Final = 64

State = Literal["fine", "no_such_model", "no_list", "unauthorised", "unreachable"]

_REMEDY: Final[Mapping[State, str]] = {
    "no_such_model": "name one of these, unless the server knows yours by another name",
    "no_list": "see that the url goes up to and including /v1; some servers list no models, and answer all the same",
    "unauthorised": "name the variable that holds its key (key_env), set where Shoal runs",
    "unreachable": "see that it runs there, or correct the url; the expert is used once it answers",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What was found."""

    state: State
    told: str

    @property
    def warning(self) -> str | None:
        """What is wrong and what to do; None when nothing is."""
        return None if self.state == "fine" else f"{self.told}. Remedy: {_REMEDY[self.state]}"

    def to_json(self) -> dict[str, str]:
        """As `server` in what is told of an expert that is added."""
        return {"state": self.state, "told": self.told}


async def reach(spec: OpenAISpec, environ: Mapping[str, str], within_s: float = PATIENCE_S) -> Reach:
    """Ask for the models of an expert's server. `environ`: where `key_env` is looked up."""
    key = environ.get(spec.key_env) if spec.key_env else None
    if spec.key_env and not key:
        return Reach("unauthorised", f"{_place(spec)} was not tried, for the variable {spec.key_env} is not set here")
    try:
        async with asyncio.timeout(within_s):
            return _found(spec, await _models(spec, key, within_s), key)
    except TimeoutError:
        return Reach("unreachable", f"{_place(spec)} did not answer within {within_s:g} s")
    except ExpertUnauthorised as error:
        return Reach("unauthorised", f"{_place(spec)}: {error.loggable}")
    except ExpertFailed as error:
        return Reach("no_list", f"{_place(spec)} tells no list of models: {error.loggable}")
    except ExpertError as error:
        return Reach("unreachable", f"{_place(spec)}: {error.loggable}")


async def server_of(spec: AnySpec) -> Reach | None:
    """The same of any expert; None of one that Shoal itself runs."""
    return await reach(spec, os.environ) if isinstance(spec, OpenAISpec) else None


async def _models(spec: OpenAISpec, key: str | None, within_s: float) -> list[str]:
    waits = Timeouts(connect_s=within_s, first_byte_s=within_s, idle_s=within_s, total_s=within_s)
    expert = OpenAIExpert(spec.id, str(spec.url), spec.model, key=key, timeouts=waits)
    try:
        return await expert.models()
    finally:
        await expert.aclose()


def _found(spec: OpenAISpec, names: Sequence[str], key: str | None) -> Reach:
    if spec.model in names:
        return Reach("fine", f"{_place(spec)} answers and has the model {spec.model!r}")
    told = [repr(redact(name, key)[:_NAME_CHARS]) for name in names[:_NAMED]]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    listed = f"{', '.join(told)}{more}" if told else "none"
    return Reach("no_such_model", f"{_place(spec)} answers, but lists no model {spec.model!r}; it lists {listed}")


def _place(spec: OpenAISpec) -> str:
    """The url without a name and password that it may hold, nor its query, where some servers want their key."""
    head, _, rest = str(spec.url).partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"
