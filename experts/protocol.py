"""The one way every expert is asked, whatever it is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from experts.wire import Call, Completion, Events, Prompt, Usage


class Expert(Protocol):
    """Someone who can answer a chat completion.

    Every method raises only `experts.errors.ExpertError`. Cancelling a call stops the work behind it.
    """

    async def complete(self, call: Call) -> Completion:
        """The whole answer, its `model` set to the expert's id."""

    def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The answer as it is made.

        The last event carries usage and no choices, whatever the client asked. Returns only after a finish reason
        was seen: a stream that was cut raises `ExpertFailed`. Raises before the first event when nothing came.
        """

    async def aclose(self) -> None:
        """Give back everything the expert holds; a second call does nothing."""


@runtime_checkable
class CountsTokens(Protocol):
    """An expert that can say how long a prompt is for it, without answering."""

    async def count(self, call: Call) -> int | None:
        """Tokens of the prompt; None when it cannot say after all. Raises ExpertError."""


@runtime_checkable
class Embeds(Protocol):
    """An expert that turns texts into vectors."""

    async def embed(self, inputs: Sequence[Prompt], dimensions: int | None = None) -> tuple[NDArray[np.float32], Usage]:
        """Vectors, shape (inputs, dimensions), and the tokens they took. Raises ExpertError."""
