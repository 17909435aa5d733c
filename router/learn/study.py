"""Everything `shoal learn` works with: registry, encoder, examples, what the ledger tells, and the editions."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from experts.errors import ShoalError
from experts.progress import Stage
from experts.registry import LoadedRegistry, load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.carried import carried, without
from router.learn.cautions import unheard, unheard_of
from router.learn.edition_file import Days
from router.learn.editions import Editions, learnt, usable
from router.learn.evidence import Outcomes, joined, unscored
from router.learn.fit import Fitted, Lessons, examples_of, fit_judge, outcomes_in, outcomes_of, outside_of
from router.learn.harvest import Harvest, apart, harvest, nothing
from router.learn.outcome_rows import left_out, models_in
from router.learn.trace import maker
from router.learn.trial import SCORES, UNSCORED, Bench, Trial
from router.meter.hours_schema import DAY_US
from router.meter.ledger import reading
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from router.settings import Settings

log = logging.getLogger("shoal.learn")

_NONE: Final = unscored(np.empty((0, 0), np.float32), np.empty((0, 0), np.float32))


class NothingToLearn(ShoalError):
    """There are no outcomes; the message says how they come about."""


class NotApplied(ShoalError):
    """What was learnt is not put to use; the message says why and how to do it all the same."""


@dataclass(frozen=True)  # without slots, for what is worked out once
class Study:
    """Opened once for a command; reads the ledger beside a server that writes it."""

    loaded: LoadedRegistry
    encoder: Encoder
    settings: Settings
    """Where the ledger and what is kept beside it lie."""
    harvest: Harvest
    files: tuple[Outcomes, ...]
    """Outcomes of files named on the command line."""
    editions: Editions
    edition: int
    """The one that serves; 0 for none, also where the one that should cannot be used."""
    refused: str | None
    """Why it cannot be used."""
    carried: Outcomes
    """What it learnt from files, which stays."""

    @classmethod
    def open(cls, settings: Settings, files: Sequence[Path] = (), forget_files: bool = False) -> Self:
        """Read registry, encoder, ledger and files; beside a file no ledger is needed. Raises `ShoalError`s.

        With `forget_files` what the edition that serves learnt from files does not stay.
        """
        loaded = load_registry(settings.registry)
        spec = loaded.registry.encoder
        encoder = Encoder.of(spec)
        made_by, editions = maker(encoder.fingerprint), Editions(settings.editions_folder)
        gathered = nothing()
        if not files or settings.ledger_path.exists():
            with reading(settings.ledger_path) as connection:
                gathered = harvest(connection, made_by)
        ids = [expert.id for expert in loaded.registry.experts]
        for path in files:
            _check_models(path.absolute(), ids)
        vectors = settings.vectors_folder
        told = tuple(outcomes_in(path.absolute(), loaded.registry, encoder, vectors) for path in files)
        number, refused = usable(editions, made_by)
        kept = carried(editions.path(number), made_by, ids) if number and not forget_files else _NONE
        return cls(loaded, encoder, settings, gathered, told, editions, number, refused, kept)

    @cached_property
    def outcomes(self) -> tuple[Outcomes, Days]:
        """What can be learnt of the registry's experts, and the days it is from. Raises `NothingToLearn`.

        What was learnt from files before comes last, without what is known anew. The log says what is left out.
        """
        (own, days), (rest, since) = self._told, self._rest
        whole = joined([own, rest, *self._filed])
        if whole is None:
            raise NothingToLearn(_nothing(self.harvest.foreign))
        for said in self.lost:
            log.warning("%s", said)
        return whole, np.concatenate([days, since, np.zeros(self.from_files, np.int32)])

    @cached_property
    def _filed(self) -> tuple[Outcomes, ...]:
        return *self.files, without(self.carried, [self._told[0], *self.files])

    @property
    def from_files(self) -> int:
        """Requests of files, those that an edition learnt before included."""
        return sum(len(each) for each in self._filed)

    @cached_property
    def lost(self) -> list[str]:
        """What is to be said of scores of experts that the registry has not."""
        ids = [spec.id for spec in self.loaded.registry.experts]
        gathered = self.harvest.outcomes
        counts = dict(zip(gathered.experts, (~np.isnan(gathered.scores)).sum(axis=0).tolist(), strict=True))
        return [*filter(None, (unheard(self.editions, self.edition, ids), unheard_of(counts, ids)))]

    @cached_property
    def _told(self) -> tuple[Outcomes, Days]:
        """Requests of the ledger of which something is known of the registry's experts, and their days."""
        ids = {spec.id for spec in self.loaded.registry.experts}
        gathered = self.harvest.outcomes
        theirs = [at for at, name in enumerate(gathered.experts) if name in ids]
        told = np.flatnonzero(~np.isnan(gathered.scores[:, theirs]).all(axis=1))
        return gathered.take(told).of(ids), self.harvest.days[told]

    @cached_property
    def _rest(self) -> tuple[Outcomes, Days]:
        """Those of which nothing is, and theirs."""
        return apart(self.harvest.traffic, self.harvest.traffic_days, self._told[0].vectors)

    def learnt_already(self) -> int | None:
        """The edition that serves, when it tells just what there is to learn; None when there is something new.

        Raises `NothingToLearn` or `EditionError`.
        """
        return self.edition if self.editions.holds(self.edition, *self.outcomes) else None

    def trial(self, progress: Stage, whole: bool = False) -> Trial:
        """What learning would change. Raises `NothingToLearn`, `EditionError` or `RegistryError`.

        `whole`: learning from all there is, also where something speaks against a part of it. An edition that cannot
        be used counts as none to compare with, and the log says so.
        """
        if self.refused is not None:
            log.warning("compared with nothing learnt: %s", self.refused)
        registry, vectors = self.loaded.registry, self.settings.vectors_folder
        examples = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
        progress("reading", 0, 1)
        lessons = Lessons.of(examples, outside_of(registry), self.encoder, vectors)
        named = outcomes_of(registry, self.encoder, vectors)
        used = learnt(self.editions, self.edition, maker(self.encoder.fingerprint))
        tariffs, fingerprint = Tariffs.of_registry(registry), self.encoder.fingerprint
        serves = self.editions if self.edition else None
        key = fit_judge(registry, self.encoder, vectors, None, self.settings.heads_folder, serves, keep=False).key

        def promise(judge: Judge, served: Promises | None) -> Promises:
            """As a server that goes on: what it promises and has seen is on file, and is held against what is new."""
            if served is None:
                read = Fitted(judge, key), fingerprint, tariffs, self.settings.certificates_folder
                return Promises.make(registry, *read, ledger=self.settings.ledger_path, keep=False)
            return Promises.make(registry, Fitted(judge, "tried"), fingerprint, tariffs, None, served)

        progress("reading", 1, 1)
        bench = Bench(registry, lessons, named, used, self.harvest.traffic, promise, progress)
        return bench.attempt(self.outcomes[0], whole)

    def apply(self, trial: Trial, force: bool) -> tuple[int, bool]:
        """Let what was learnt serve as a new edition: its number, and whether it is new.

        It is not where the same was applied meanwhile. Raises `NotApplied`, and without `force` `EditionError` where
        another serves by now than the one that was tried against.
        """
        if trial.refusal is not None and not force:
            raise NotApplied(
                f"not applied: {trial.refusal}. Remedy: look at shoal learn try, then gather more, or apply it "
                "all the same with --force"
            )
        outcomes, days = self._learnt(trial)
        scored = SCORES not in trial.left_out
        said = {
            "maker": maker(self.encoder.fingerprint),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "registry": self.loaded.version,
            "sources": dict(self.harvest.sources) if scored else {},
            "from_files": self.from_files if scored else 0,
            "trial": trial.to_json(),
        }
        return self.editions.serve(outcomes, days, said, None if force else self.edition)

    def _learnt(self, trial: Trial) -> tuple[Outcomes, Days]:
        """What a trial did not leave out, and the days it is from."""
        outcomes, days = self.outcomes
        told = ~np.isnan(outcomes.scores).all(axis=1)
        if SCORES in trial.left_out:
            return outcomes.rest(outcomes.experts), days[~told]
        if UNSCORED in trial.left_out:
            return outcomes.of(outcomes.experts), days[told]
        return outcomes, days

    def summary(self) -> dict[str, Any]:
        """What there is to learn from, as `shoal learn show --json` prints it."""
        gathered, days = self.harvest.outcomes, self.harvest.days
        experts = {}
        for column, expert in enumerate(gathered.experts):
            told = ~np.isnan(gathered.scores[:, column])
            score = gathered.scores[told, column]
            since = _day(int(days[told].min()))
            experts[expert] = {"scores": int(told.sum()), "mean": round(float(score.mean()), 4), "since": since}
        return {
            "requests": len(self.harvest.traffic.policies),
            "with_scores": len(gathered),
            "unscored": len(self._rest[1]),
            "sources": {name: self.harvest.sources[name] for name in ("feedback", "failed", "escalated")},
            "of_another_encoder": self.harvest.foreign,
            "scores_without_a_vector": self.harvest.untraced,
            "experts": experts,
            "from_files": self.from_files,
            "edition": self.edition,
            "refused": self.refused,
            "warnings": self.lost,
        }


def back(editions: Editions, number: int | None, maker: str | None = None) -> int:
    """Let an earlier edition serve again; its number. When none is named it is the one that the current one replaced.

    Raises `EditionError`, also when another than `maker` made it; a pointer that cannot be read is mended by naming a
    number.
    """
    if number is None:
        return editions.back(maker)
    editions.use(number, maker)
    return number


def _check_models(path: Path, experts: Collection[str]) -> None:
    """Raises `NothingToLearn` where a file tells of none of the experts; others beside them are left out, and told."""
    named = models_in(path)
    if not set(named) & set(experts):
        others = ", ".join(named)
        raise NothingToLearn(
            f"{path}: tells how well {others} answered, and the registry has no such expert. Remedy: name the outcomes "
            f"after its experts ({', '.join(experts)}), or add those of the file with shoal registry add"
        )
    if told := left_out(path, experts):
        log.warning("%s", told)


def _nothing(foreign: int) -> str:
    """Why there is nothing to learn, `foreign` requests being kept by another encoder."""
    remedy = "Remedy: serve requests that name no expert, with `keep_vectors`, or name a file with --outcomes"
    if not foreign:
        return f"the ledger holds no outcomes to learn from. {remedy}"
    return (
        f"the ledger holds no outcomes of this encoder to learn from; {foreign:,} requests kept there are another "
        f"encoder's and of no use to it. {remedy}, or restore that encoder"
    )


def _day(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_US / 1e6, UTC).date().isoformat()
