"""An encoder tuned on the very examples that a judge is fitted on, kept in a folder by what it rests on."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from eval.provenance import code_of
from eval.samples import Labelled
from experts.factory.packages import require_packages
from experts.progress import Stage, progress_on
from experts.spec import Encoder as EncoderSpec
from router.encode import MODEL, TOKENIZER, Encoder

CODE = "experts.factory.train_encoder"


@dataclass(frozen=True, slots=True)
class Tuner:
    """Makes encoders as `shoal experts train encoder` does, but of all it is given, and unchecked.

    How sure heads on it should be is told by one third of the rows, to save the time that the others would take.
    """

    spec: EncoderSpec
    """The encoder to start from."""
    folder: Path
    """Where encoders are kept, and the float32 weights fetched to."""
    progress: Stage

    def __call__(self, rows: Sequence[Labelled]) -> Encoder:
        """The encoder tuned on labelled `rows`.

        Raises LessonsError, TrainingUnavailable, UnstableBits and WeightsError.
        """
        texts, labels = [row.input for row in rows], [str(row.label) for row in rows]
        rests_on = "\0".join([self.spec.sha256, code_of(CODE), *texts, *labels])
        out = self.folder / "tuned" / hashlib.sha256(rests_on.encode()).hexdigest()[:32]
        if not (out / "card.yaml").exists():  # written last
            self._make(texts, labels, out)
        card = yaml.safe_load((out / "card.yaml").read_text(encoding="utf-8"))
        return Encoder.open(out, card["files"][MODEL]["sha256"], self.spec.max_tokens)

    def _make(self, texts: Sequence[str], labels: Sequence[str], out: Path) -> None:
        require_packages()
        from experts.factory.contrastive import Course
        from experts.factory.lessons import lessons_of
        from experts.factory.train_encoder import tune
        from experts.factory.tuning import fetch_base

        lessons = lessons_of("its examples", texts, labels)
        base = asyncio.run(fetch_base(self.spec.path / TOKENIZER, self.folder, progress_on(sys.stderr)))
        tune(base, lessons, Course(), out, self.progress)
