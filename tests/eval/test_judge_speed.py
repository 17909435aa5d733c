from __future__ import annotations

from eval.bench.judge import ASKED, asked, decided, fits, fitted


def test_every_judgement_is_made_and_timed() -> None:
    judge, fit = fits(lambda: fitted(3, 90, 40, 20), 2)
    assert sorted(judge.classes_) == ["expert-0", "expert-1", "expert-2"]
    assert fit["wall_s"]["n"] == fit["cpu_s"]["n"] == 2
    vectors, labels = judge.known()
    assert (vectors.shape, (labels == "").sum()) == ((90, 384), 20)
    outcomes = judge.outcomes_
    assert outcomes is not None and len(outcomes) == 40
    found = asked(judge, 3)
    assert found["wall_us"]["n"] == found["cpu_us"]["n"] == ASKED
    assert len(judge._remembered) == 1024, "each is another request"
    assert decided(judge, 3)["cpu_us"]["n"] == ASKED
