"""What asking a fallback on fixed machines less often really saves. Pure.

A step of decoding reads all weights whatever the batch, so a fallback that answers a fifth of what it used to does so
in batches a fifth as large, and each of its tokens takes more. At fixed capacity the energy of "the fallback alone" is
therefore that of the batches it would have had: B x everything / what it really answers, B being today's batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from router.meter.coefficients import Size, accelerator_j


@dataclass(frozen=True, slots=True)
class Dilution:
    """The counterfactual at the batch the fallback would have had."""

    batch: float
    batch_alone: float
    """Had it answered everything."""
    energy_uj: float
    """Of the fallback alone, at that batch."""
    factor: float
    """By which a token takes less in it than in today's."""


def diluted(size: Size, own: float, whole: float, counterfactual_uj: float) -> Dilution | None:
    """What the fallback alone would have taken for `whole`, of which it really gave `own`; in tokens or in joules.

    `counterfactual_uj` is the same at today's batch. None where a batch changes nothing (processors), or where the
    fallback answered nothing, so that today's batch is not known.
    """
    if size.machine == "cpu" or not size.params_b or not own:
        return None
    batch = max(1.0, size.batch * whole / own)
    now_j, then_j = accelerator_j(size)[1], accelerator_j(replace(size, batch=batch))[1]
    return Dilution(size.batch, batch, counterfactual_uj * then_j / now_j, then_j / now_j)


@dataclass(frozen=True, slots=True)
class Machines:
    """A fallback on fixed machines, and how busy they were."""

    size: Size
    own_uj: float
    """What all its answers took."""
    other_uj: float
    """What it would have taken, at today's batch, beside the requests in question."""
    other_variance: float = 0.0
    """Of `other_uj`, where that is an estimate."""

    def diluted(self, alone_uj: float) -> Dilution | None:
        """What it takes for the requests in question, of which today's batch would make `alone_uj`."""
        return diluted(self.size, self.own_uj, self.other_uj + alone_uj, alone_uj)

    def slope(self, alone_uj: float) -> float:
        """By how much `diluted` grows with a microjoule more."""
        step = 1e-4 * alone_uj
        less, more = self.diluted(alone_uj - step), self.diluted(alone_uj + step)
        return 1.0 if less is None or more is None or not step else (more.energy_uj - less.energy_uj) / (2 * step)

    def beside(self, alone_uj: float) -> float:
        """The standard error of `diluted` that comes from what it would have taken for the others."""
        if not self.other_variance:
            return 0.0
        step = 1e-4 * alone_uj
        less, more = (replace(self, other_uj=self.other_uj + way * step).diluted(alone_uj) for way in (-1, 1))
        if less is None or more is None or not step:
            return 0.0
        return (more.energy_uj - less.energy_uj) / (2 * step) * float(self.other_variance**0.5)
