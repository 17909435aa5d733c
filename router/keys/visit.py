"""One request of a caller that is limited, from when it is let in until what it took is known."""

from __future__ import annotations

from router.keys.caller import Caller


class Visit:
    """Sets aside a request and about so many tokens. Raises RateLimited, BudgetSpent."""

    __slots__ = ("_aside", "_caller")

    def __init__(self, caller: Caller, tokens: int) -> None:
        caller.enter(tokens)
        self._caller = caller
        self._aside = tokens

    def answered(self, status: int, whole: bool) -> None:
        """A head is about to go out. One that is refused costs no request; of a whole answer the tokens are charged."""
        if 400 <= status < 500:
            self._caller.give_back()
        if whole:
            self.over()

    def over(self) -> None:
        """What was set aside is put back, for by now the real tokens are charged. A second call does nothing."""
        self._caller.leave(self._aside)
        self._aside = 0
