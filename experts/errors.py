"""Everything that can go wrong while an expert is prepared or answers.

ShoalError                      message says what, where and the remedy
├── WrongUsage                  a command or a setting was written wrongly; the command line exits with 2
├── RegistryError               registry.yaml is not usable; carries every problem found
│   └── RegistryBlocked         by no fault of its own: the disk, or whatever else keeps it from going live now
├── WeightsError                weights cannot be fetched, verified or read
└── ExpertError                 an attempt failed; carries the expert's id
    ├── ExpertUnavailable       down, still restarting, quarantined, connection refused
    │   ├── ExpertNotAsked      it failed just now, so for a while nobody asks it: its breaker is open
    │   └── ExpertUnknown       its server answers, and has no such model or nothing at such an address
    ├── ExpertOverloaded        queue full, or the upstream said 429 / 503 with Retry-After
    ├── ExpertTimedOut          connect, first byte, idle or total time ran out
    ├── ExpertFailed            5xx, an answer that is not a chat completion, a stream that was cut
    ├── ExpertUnauthorised      the upstream refused our key (the client's key is fine)
    └── ExpertRefused           the upstream called the request itself wrong (4xx); not retried elsewhere
        └── ExpertUnfit         it is not wrong, and this expert cannot do what it asks; another may
"""

from __future__ import annotations

from typing import Final

NAMED_WRONGLY: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What happens to a file that the command line named, and another name would mend."""


class ShoalError(Exception):
    """Root of every error Shoal raises on purpose."""

    told: bool = False
    """Whether the log has it already, from who raises it: when such errors begin and when they end."""


class WrongUsage(ShoalError):
    """An option or an environment variable is wrong by itself, whatever the files say."""


class RegistryError(ShoalError):
    """The registry cannot be used. `problems` holds every one found, each with file, line, key and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RegistryBlocked(RegistryError):
    """The registry may be good, but cannot be written or go live now; the same works once the cause is gone."""


class WeightsError(ShoalError):
    """Weights could not be fetched, verified or read."""


class ExpertError(ShoalError):
    """An attempt by one expert failed; `loggable` is the message without what an upstream said, maybe a prompt."""

    def __init__(self, expert: str, message: str, *, loggable: str | None = None) -> None:
        super().__init__(f"{expert}: {message}")
        self.expert = expert
        self.message = message
        self.loggable = loggable or message


class ExpertUnavailable(ExpertError):
    """The expert cannot be reached now."""


class ExpertNotAsked(ExpertUnavailable):
    """The expert failed just now; it is not asked for a while."""

    told = True


class ExpertUnknown(ExpertUnavailable):
    """The server answers, but knows no such model, or nothing is at the address that the registry names."""


class ExpertOverloaded(ExpertError):
    """The expert has no room now. `retry_after_s` is its own advice, if it gave any."""

    def __init__(
        self, expert: str, message: str, retry_after_s: float | None = None, *, loggable: str | None = None
    ) -> None:
        super().__init__(expert, message, loggable=loggable)
        self.retry_after_s = retry_after_s


class ExpertTimedOut(ExpertError):
    """The expert did not answer, or stopped answering, in time."""


class ExpertFailed(ExpertError):
    """The expert broke, or what it sent is no chat completion."""


class ExpertUnauthorised(ExpertError):
    """The upstream refused the key that the registry names."""


class ExpertRefused(ExpertError):
    """The upstream says the request is wrong; `status`, `param` and `code` are its words."""

    def __init__(self, expert: str, message: str, status: int, param: str | None, code: str | None) -> None:
        super().__init__(expert, message, loggable=f"the upstream refused the request: {status}")
        self.status = status
        self.param = param
        self.code = code


class ExpertUnfit(ExpertRefused):
    """The request is right, and more than this expert can do."""
