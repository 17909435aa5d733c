"""What experts that answer by the request vector have in common: the answer is there at once, whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from itertools import chain

from experts.errors import ExpertFailed
from experts.reply import CountTokens, Spoken, chat_id, choices, completion, events, usage
from experts.wire import Call, ChatId, Completion, Events, Usage, Vector


class ByVector(ABC):
    """See `experts.protocol.Expert`. A kind says what it answers, and nothing else."""

    def __init__(self, expert_id: str, count_tokens: CountTokens | None) -> None:
        """Without `count_tokens` no usage is told."""
        self._id = expert_id
        self._count_tokens = count_tokens

    async def complete(self, call: Call) -> Completion:
        """The whole answer. Raises ExpertFailed when the call has no vector."""
        return completion(*self._replied(call))

    async def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The answer, a part an event, all of them together. Raises ExpertFailed when the call has no vector."""
        yield list(chain(*events(*self._replied(call))))

    async def aclose(self) -> None:  # noqa: B027  not left to the kinds
        """Nothing is held."""

    @abstractmethod
    def _said(self, vector: Vector, call: Call) -> Spoken:
        """What is answered to a request with this vector."""

    def _replied(self, call: Call) -> tuple[ChatId, Sequence[Spoken], Usage]:
        """What is said as every choice of the answer."""
        if call.vector is None:
            raise ExpertFailed(self._id, "was asked without a request vector")
        said, wanted = self._said(call.vector, call), choices(call)
        return chat_id(self._id, call), [said] * wanted, usage(call, said.text, self._count_tokens)
