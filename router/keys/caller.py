"""One key in use: what it has taken of its minute and of its day."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from router.keys.bucket import Bucket
from router.keys.errors import BudgetSpent, RateLimited
from router.keys.key import Key
from router.meter.hours_schema import DAY_US
from router.meter.money import YUSD_PER_NUSD
from router.meter.steady import utc_us

Header = tuple[bytes, bytes]


class Spend:
    """Money and energy of one UTC day, as the ledger charged them."""

    __slots__ = ("_now_us", "_unread_uj", "cost_yusd", "day", "energy_uj")

    def __init__(self, clock: Callable[[], int] = utc_us) -> None:
        self._now_us = clock
        self.day = clock() // DAY_US
        self.cost_yusd = 0
        self.energy_uj = 0
        self._unread_uj = 0
        """Of it, what came since the ledger was last looked at."""

    def turn(self) -> None:
        """Begin anew when another day has begun."""
        if (today := self._now_us() // DAY_US) != self.day:
            self.day, self.cost_yusd, self.energy_uj, self._unread_uj = today, 0, 0, 0

    def left_s(self) -> float:
        """Seconds until the day is over."""
        return (DAY_US - self._now_us() % DAY_US) / 1e6

    def add(self, cost_yusd: int, energy_uj: int) -> None:
        """Charge."""
        self.turn()
        self.cost_yusd += cost_yusd
        self.energy_uj += energy_uj
        self._unread_uj += energy_uj

    def look(self) -> None:
        """The ledger is about to be read: what is charged from now on may not be in what it says."""
        self._unread_uj = 0

    def take_over(self, day: int, cost_yusd: int, energy_uj: int) -> None:
        """What the ledger says of a day: other processes and earlier runs have spent too.

        Money never becomes less. Energy may: it is charged as modelled, and the ledger learns what a counter measured.
        """
        self.turn()
        if day == self.day:
            self.cost_yusd = max(self.cost_yusd, cost_yusd)
            self.energy_uj = energy_uj + self._unread_uj


class Caller:
    """A key and its counters. One for each key as long as this process serves, whatever is edited."""

    __slots__ = ("_clock", "id", "key", "metered", "requests", "spend", "tokens")

    def __init__(
        self, key: Key, clock: Callable[[], float] = time.monotonic, wall_us: Callable[[], int] = utc_us
    ) -> None:
        self.id = key.id
        self.spend = Spend(wall_us)
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self._clock = clock
        self.adopt(key)

    def adopt(self, key: Key) -> None:
        """Go on with changed limits; what is counted stays."""
        self.key = key
        self.metered = key.grant.metered
        self.requests = self._bucket(self.requests, key.grant.requests_per_minute)
        self.tokens = self._bucket(self.tokens, key.grant.tokens_per_minute)

    def enter(self, tokens: int) -> None:
        """One request of about `tokens` begins; `leave` must follow. Raises RateLimited, BudgetSpent."""
        self._check_budget()
        if self.requests is not None and (wait := self.requests.wait_s(1)) > 0:
            raise RateLimited("requests", self.requests.per_minute, wait)
        if self.tokens is not None and (wait := self.tokens.wait_s(1)) > 0:
            raise RateLimited("tokens", self.tokens.per_minute, wait)
        if self.requests is not None:
            self.requests.take(1)
        if self.tokens is not None:
            self.tokens.take(tokens)

    def leave(self, tokens: int) -> None:
        """The request has ended: what was set aside is put back, for by now its real tokens are charged."""
        if self.tokens is not None:
            self.tokens.take(-tokens)

    def give_back(self) -> None:
        """The request was refused as it stood, before anything was done for it."""
        if self.requests is not None:
            self.requests.take(-1)

    def charge(self, tokens: int, cost_yusd: int, energy_uj: int) -> None:
        """What a request really took, as the ledger has it; money in yocto-dollars."""
        if self.tokens is not None:
            self.tokens.take(tokens)
        self.spend.add(cost_yusd, energy_uj)

    def headers(self) -> list[Header]:
        """The x-ratelimit headers of whatever is limited."""
        return [
            header
            for unit, bucket in ((b"requests", self.requests), (b"tokens", self.tokens))
            if bucket is not None
            for header in _told(unit, bucket)
        ]

    def _check_budget(self) -> None:
        grant, spend = self.key.grant, self.spend
        spend.turn()
        if grant.budget_nusd_per_day is not None and spend.cost_yusd >= grant.budget_nusd_per_day * YUSD_PER_NUSD:
            raise BudgetSpent("USD", spend.left_s())
        if grant.budget_uj_per_day is not None and spend.energy_uj >= grant.budget_uj_per_day:
            raise BudgetSpent("J", spend.left_s())

    def _bucket(self, present: Bucket | None, per_minute: int | None) -> Bucket | None:
        if per_minute is None:
            return None
        if present is not None and present.per_minute == per_minute:
            return present
        return Bucket(per_minute, self._clock)


def _told(unit: bytes, bucket: Bucket) -> list[Header]:
    left = max(0, int(bucket.level))
    return [
        (b"x-ratelimit-limit-" + unit, b"%d" % bucket.per_minute),
        (b"x-ratelimit-remaining-" + unit, b"%d" % left),
        (b"x-ratelimit-reset-" + unit, _duration(bucket.reset_s)),
    ]


def _duration(seconds: float) -> bytes:
    """A time as OpenAI writes it: 0s, 120ms, 8.64s, 6m0s, 1h0m12.5s."""
    ms = math.ceil(seconds * 1000)
    if ms < 1000:
        return b"%dms" % ms if ms else b"0s"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{rest / 1000:g}s".encode()
