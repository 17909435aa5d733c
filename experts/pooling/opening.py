"""From a spec to an expert that can be asked: one small function per kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from experts import weights
from experts.answer_limit import AnswerLimit
from experts.answers import AnswersExpert
from experts.child import Child
from experts.conversation import Conversation
from experts.engines import llama_cpp
from experts.engines.gguf import control_tokens
from experts.errors import ExpertUnavailable
from experts.labels import LabelsExpert
from experts.llama_cpp import LlamaCppExpert
from experts.openai_http import OpenAIExpert
from experts.process.recipe import Recipe
from experts.protocol import Expert
from experts.reply import CountTokens
from experts.scripted import ScriptedExpert
from experts.spec import AnswersSpec, AnySpec, LabelsSpec, LlamaCppSpec, OpenAISpec, ScriptedSpec
from experts.wire import Embed


@dataclass(frozen=True, slots=True)
class Opened:
    """An expert and, when it runs in a child process, that child; the child is started by whoever holds this."""

    expert: Expert
    child: Child | None = None

    async def aclose(self) -> None:
        """Close the expert, then end its child."""
        await self.expert.aclose()
        if self.child is not None:
            await self.child.stop()


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens experts; everything it needs beside the spec."""

    weights_dir: Path
    registry_dir: Path
    embed: Embed
    count_tokens: CountTokens
    """Tokens of a text, for the usage of experts that have no tokenizer of their own."""
    environ: Mapping[str, str]
    """Where `key_env` is looked up."""

    async def open(self, spec: AnySpec) -> Opened:
        """Load what `spec` describes. Raises ShoalError, or OSError and ValueError for what its own files hold."""
        match spec:
            case OpenAISpec():
                return self._remote(spec)
            case LlamaCppSpec():
                return await self._llama_cpp(spec)
            case AnswersSpec():
                return Opened(await asyncio.to_thread(AnswersExpert.load, spec, self.embed, self.count_tokens))
            case LabelsSpec():
                return Opened(await asyncio.to_thread(LabelsExpert.load, spec, self.embed, self.count_tokens))
            case ScriptedSpec():
                return Opened(await asyncio.to_thread(ScriptedExpert.load, spec))

    def _remote(self, spec: OpenAISpec) -> Opened:
        key = self.environ.get(spec.key_env) if spec.key_env else None
        if spec.key_env and not key:
            raise ExpertUnavailable(spec.id, f"no key: set the environment variable {spec.key_env}")
        expert = OpenAIExpert(
            spec.id,
            str(spec.url),
            spec.model,
            key=key,
            timeouts=spec.timeouts,
            max_concurrency=spec.max_concurrency,
            limit=AnswerLimit(most, spec.context) if (most := spec.default_max_tokens) else None,
        )
        return Opened(expert)

    async def _llama_cpp(self, spec: LlamaCppSpec) -> Opened:
        path, recipe = await self._verified(spec)
        child = Child(spec.id, recipe)
        expert = OpenAIExpert(
            spec.id,
            child.address.base_url,
            spec.id,
            key=None,
            timeouts=spec.timeouts,
            unix_socket=child.address.unix_socket,
            max_concurrency=llama_cpp.slots(spec),
            fingerprint=llama_cpp.fingerprint(spec),
            limit=AnswerLimit(most) if (most := spec.default_max_tokens) else None,
        )
        control = await asyncio.to_thread(control_tokens, path)
        conversation = Conversation(control, "tools" in spec.capabilities)
        return Opened(LlamaCppExpert(expert, conversation, grammars=spec.engine == "xllamacpp"), child)

    async def _verified(self, spec: LlamaCppSpec) -> tuple[Path, Recipe]:
        """The weights and how they are served; both anew for every child in place of one that died."""
        path = await weights.fetch(spec.weights, self.weights_dir, self.registry_dir)

        async def renew() -> Recipe:
            return (await self._verified(spec))[1]

        return path, replace(llama_cpp.recipe(spec, path), renew=renew)


def at_once(spec: AnySpec) -> int:
    """Requests an expert works on at a time; those beyond wait in our queue, where they can be given up cheaply."""
    if isinstance(spec, LlamaCppSpec):
        return min(spec.max_concurrency, llama_cpp.slots(spec))
    return spec.max_concurrency


def memory_mb(spec: AnySpec) -> int:
    """What it takes from the memory budget once loaded, in MiB."""
    return spec.memory_mb if isinstance(spec, LlamaCppSpec) else 0
