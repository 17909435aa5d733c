"""One version of the registry and everything made from it; what a key may not use is not in the view it is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from experts.pool import Pool
from experts.spec import ENCODER_MODEL, READS_VECTOR, Registry
from router.encode import AsyncEncoder
from router.judge import Judge
from router.ladder import Ladder
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from router.rule import Rule


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of the registry and everything made from it."""

    registry: Registry
    version: str
    judge: Judge
    pool: Pool
    tariffs: Tariffs
    encoder: AsyncEncoder
    promises: Promises
    edition: int = 0
    """What was learnt from use and serves; 0 for nothing."""
    refused: str | None = None
    """Why the edition that should serve does not; None when nothing is wrong."""
    hidden: frozenset[str] = frozenset()
    """Names that whoever sees this snapshot may not use."""
    ladder: Ladder = field(init=False)
    """The order of its experts from small to large."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ladder", Ladder.of(self.registry))

    def rule(self, policy: str) -> Rule:
        """How a policy decides right now."""
        rule = self.promises.rule(policy)
        if self.hidden and rule.exact:
            return replace(rule, threshold=None, refused="it was made with experts that this key may not use")
        return rule

    def tells(self, label: str | None) -> bool:
        """Whether who sees this may hear of a label: one that an expert of theirs has, or that is nobody's."""
        return not self.hidden or not label or any(spec.label == label for spec in self.registry.experts)

    def down(self, expert: str) -> str | None:
        """Why an expert cannot take a request now, fit for a client's eyes; None when it can."""
        state = self.pool.down(expert)
        return None if state is None else f"is {state}"

    def all_down(self) -> dict[str, str]:
        """The same of all that cannot, in one go: a decision asks it of every expert."""
        return {expert: f"is {state}" for expert, state in self.pool.all_down().items()}

    def seen_with(self, allowed: frozenset[str]) -> Snapshot:
        """The same for a caller who may use these experts only: the others are not there.

        Its fallback is the largest it may use where the registry's own is not among them.
        """
        registry = self.registry
        theirs = [spec for spec in registry.experts if spec.id in allowed]
        hidden = {spec.id for spec in registry.experts} | {ENCODER_MODEL}
        hidden -= allowed
        if not theirs:
            hidden |= {"auto", "fallback", *(f"auto:{policy}" for policy in registry.policies)}
        hidden |= {alias for alias, target in registry.aliases.items() if target in hidden}
        if not theirs:
            return replace(self, hidden=frozenset(hidden))
        able = {spec.id for spec in theirs if spec.kind not in READS_VECTOR} or allowed
        largest = next(name for name in reversed(self.ladder.experts) if name in able)
        fallback = registry.fallback if registry.fallback in allowed else largest
        changes = {"experts": tuple(theirs), "fallback": fallback}
        return replace(self, registry=registry.model_copy(update=changes), hidden=frozenset(hidden))
