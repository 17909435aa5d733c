"""What asking a fallback on fixed machines less often really saves. Pure.

A step of decoding reads all weights whatever the batch, so a fallback that answers a fifth of what it used to does so
in batches a fifth as large, and each token it writes takes more. At fixed capacity the energy of "the fallback alone"
is therefore that of the batches it would have had: B x everything / what it really answers, B being today's batch.
Reading a prompt computes and waits for no weights, so a token read takes the same in any batch.
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
    """By which a token takes less in it than in today's, on average of those read and written."""


def diluted(size: Size, own: float, whole: float, counterfactual_uj: float, written: float = 1.0) -> Dilution | None:
    """What the fallback alone would have taken for `whole`, of which it really gave `own`; in tokens or in joules.

    `counterfactual_uj` is the same at today's batch, and `written` the part of it that writing takes. None where a
    batch changes nothing (processors), or where the fallback answered nothing, so that today's batch is not known.
    """
    if size.machine == "cpu" or not size.params_b or not own:
        return None
    batch = max(1.0, size.batch * whole / own)
    now_j, then_j = accelerator_j(size)[1], accelerator_j(replace(size, batch=batch))[1]
    factor = 1 - written * (1 - then_j / now_j)
    return Dilution(size.batch, batch, counterfactual_uj * factor, factor)


def written_part(size: Size, read: float, written: float) -> float:
    """Of what so many tokens read and written take at a model's batch, the part that writing does; all of nothing."""
    read_j, written_j = accelerator_j(size)
    reading, writing = max(float(read), 0.0) * read_j, float(written) * written_j
    return writing / (reading + writing) if reading else 1.0


@dataclass(frozen=True, slots=True)
class Machines:
    """A fallback on fixed machines, and how busy they were."""

    size: Size
    own_uj: float
    """What all its answers took."""
    other_uj: float
    """What it would have taken, at today's batch, beside the requests in question."""
    written: float = 1.0
    """The part of what its answers took that writing did."""
    unseen_written: float = 1.0
    """As `written`, of the answers that it would have given in the place of others."""
    other_variance: float = 0.0
    """Of `other_uj`, where that is an estimate."""

    def diluted(self, alone_uj: float) -> Dilution | None:
        """What it takes for the requests in question, of which today's batch would make `alone_uj`."""
        whole_uj = self.other_uj + alone_uj
        seen_uj = min(self.own_uj, whole_uj)
        writing_uj = seen_uj * self.written + (whole_uj - seen_uj) * self.unseen_written
        part = writing_uj / whole_uj if whole_uj > 0 else 1.0
        return diluted(self.size, self.own_uj * self.written, writing_uj, alone_uj, part)

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
