"""What asking a fallback on fixed machines less often really saves. Pure.

A step of decoding reads all weights whatever the batch, so a fallback that answers a fifth of what it used to does so
in batches a fifth as large, and each of its tokens takes more. At fixed capacity the energy of "the fallback alone" is
therefore that of the batches it would have had: B x everything / what it really answers, B being today's batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from router.meter.coefficients import Size, accelerator_j


@dataclass(frozen=True, slots=True)
class Dilution:
    """The counterfactual at the batch the fallback would have had."""

    batch: float
    batch_alone: float
    """Had it answered everything."""
    energy_uj: float
    """Of the fallback alone, at that batch."""

    def to_json(self, spent_uj: int) -> dict[str, Any]:
        """With what was saved against it."""
        share = 1 - spent_uj / self.energy_uj if self.energy_uj else None
        return {
            "batch": self.batch,
            "batch_alone": self.batch_alone,
            "energy_j": self.energy_uj / 1e6,
            "saved_j": (self.energy_uj - spent_uj) / 1e6,
            "share": share,
        }


def diluted(size: Size, own_tokens: int, all_tokens: int, counterfactual_uj: int) -> Dilution | None:
    """What the fallback alone would have taken for `all_tokens`, of which it really gave `own_tokens`.

    `counterfactual_uj` is the same at today's batch. None where a batch changes nothing (processors), or where the
    fallback answered nothing, so that today's batch is not known.
    """
    if size.machine == "cpu" or not size.params_b or not own_tokens:
        return None
    alone = max(1.0, size.batch * all_tokens / own_tokens)
    now_j, then_j = accelerator_j(size)[1], accelerator_j(replace(size, batch=alone))[1]
    return Dilution(size.batch, alone, counterfactual_uj * then_j / now_j)
