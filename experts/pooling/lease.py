"""The right to ask an expert of the pool once."""

from __future__ import annotations

from types import TracebackType

from experts.pooling.member import Member
from experts.protocol import Expert


class Lease:
    """`async with` it to have the expert. An error of the expert must pass through it to be learnt from."""

    __slots__ = ("_member",)

    def __init__(self, member: Member) -> None:
        self._member = member

    async def __aenter__(self) -> Expert:
        """The expert. Raises ExpertUnavailable or ExpertOverloaded."""
        return self._member.claim() or await self._member.admit()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        self._member.leave(error)
