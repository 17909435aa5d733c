from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.requests import FALLBACK, REQUESTS, Request, evaluate_requests, read_requests
from eval.samples import SamplesError
from experts.policy import Policy
from experts.registry import load_registry
from experts.spec import Registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.fit import Fitted, examples_of
from router.promises.drift import WINDOW
from shoal.evaluate import app
from shoal.requests_table import show_requests

ROOT = Path(__file__).resolve().parents[2]
EACH = 60
"""Examples of every expert that the judge of these tests knows."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(ROOT / "registry.yaml").registry


@pytest.fixture(scope="module")
def encoder(registry: Registry) -> Encoder:
    return Encoder.of(registry.encoder)


@pytest.fixture(scope="module")
def fitted(registry: Registry, encoder: Encoder) -> Fitted:
    own = {spec: examples_of(spec) for spec in registry.experts}
    texts = [(text, spec.label) for spec, known in own.items() for text in known[:: len(known) // EACH]]
    inputs = [text for text, _ in texts]
    judged = {spec.id: spec.label for spec in registry.experts}
    judge = Judge(judged).fit(inputs, encoder.encode_all(inputs), [label for _, label in texts])
    return Fitted(judge, "tested")


def ask(name: str, label: str | None, *said: str, kind: str = "plain") -> Request:
    return Request(name, [{"role": "user", "content": text} for text in said], label, kind, "validation")


TICKET = ask("a", "support-ticket", "My parcel is two weeks late and the tracking page is empty. Where is my order?")
HELP = ask("b", "shoal-help", "How do I add an expert to the registry of Shoal?", kind="short")
WRONG = ask("c", "chat", "How do I change the port that Shoal listens on?")
LOST = ask("d", None, "zxcv qwer uiop hjkl", kind="noise")


def test_figures_count_what_was_chosen(registry: Registry, encoder: Encoder, fitted: Fitted) -> None:
    found, _ = evaluate_requests([TICKET, HELP, WRONG, LOST], registry, encoder, fitted)
    assert found["policy"] == registry.default_policy
    assert (found["n"], found["handled"]) == (4, 0.75)
    assert found["accuracy"] == found["likeliest_accuracy"] == pytest.approx(2 / 3)
    assert found["wrong_expert"] == pytest.approx(1 / 3)
    assert (found["null_recall"], found["fallback_share"]) == (1.0, 0.25)
    assert (found["kept_small"], found["wrong_small"]) == (0.75, 0.25)
    assert found["confusion"] == {
        "chat": {"shoal-help": 1},
        FALLBACK: {FALLBACK: 1},
        "shoal-help": {"shoal-help": 1},
        "support-ticket": {"support-ticket": 1},
    }
    assert found["by_kind"]["noise"]["accuracy"] is None
    assert found["by_label"]["chat"]["handled"] == 0.0
    (failure,) = found["failures"]
    assert (failure["id"], failure["label"], failure["choice"]) == ("c", "chat", "shoal-help")
    assert failure["text"] == WRONG.messages[-1]["content"]


def test_what_a_fallback_with_a_domain_answers_is_not_kept_small(
    registry: Registry, encoder: Encoder, fitted: Fitted
) -> None:
    talk = ask("e", "chat", "Tell me a joke about fish, please.")
    found, _ = evaluate_requests([talk, HELP], registry, encoder, fitted)
    assert registry.fallback == "chat"
    assert (found["fallback_share"], found["kept_small"], found["wrong_small"]) == (0.0, 0.5, 0.0)


def test_a_policy_that_is_never_sure_sends_all_to_the_fallback(
    registry: Registry, encoder: Encoder, fitted: Fitted
) -> None:
    never = registry.policies["balanced"].model_copy(update={"threshold": 1.0})
    strict = registry.model_copy(update={"policies": {**registry.policies, "never": never}})
    found, _ = evaluate_requests([TICKET, HELP, LOST], strict, encoder, fitted, "never")
    assert (found["accuracy"], found["null_recall"], found["fallback_share"]) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("asked", "served"),
    [(Policy(max_risk=0.05), True), (Policy(max_fallback_share=0.3), True), (Policy(max_risk=0.001), False)],
)
def test_a_policy_of_risk_or_budget_chooses_by_the_threshold_that_was_found(
    registry: Registry,
    encoder: Encoder,
    fitted: Fitted,
    capsys: pytest.CaptureFixture[str],
    asked: Policy,
    served: bool,
) -> None:
    one = registry.model_copy(update={"policies": {**registry.policies, "asked": asked}, "fallback": "chat"})
    found, _ = evaluate_requests([TICKET, HELP], one, encoder, fitted, "asked")
    assert (found["refused"] is None) is served
    assert found["fallback_share"] == (0.0 if served else 1.0)
    if not served:
        show_requests(found)
        assert f"the fallback answers everything: {found['refused']}" in " ".join(capsys.readouterr().out.split())
        assert "takes at least" in found["refused"]


def test_how_often_a_promise_is_refused_is_told_of_windows_of_the_requests(
    registry: Registry, encoder: Encoder, fitted: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    """Like the examples, a promise goes on; unlike them, it is refused."""
    one = registry.model_copy(update={"policies": {"asked": Policy(max_risk=0.05)}, "default_policy": "asked"})
    known = {spec: examples_of(spec) for spec in registry.experts}
    alike = [
        ask(f"{spec.id}-{at}", spec.label, text)
        for spec, texts in known.items()
        for at, text in enumerate(texts[1 :: len(texts) // 50])
    ]
    found, sure = evaluate_requests(alike, one, encoder, fitted)
    assert found["refused_windows"] == sure["refused_windows"].value == 0.0
    strange = [ask(f"s-{at}", None, f"zxcv {at} qwer uiop {at * at} hjkl") for at in range(140)]
    found, _ = evaluate_requests(strange, one, encoder, fitted)
    assert found["refused_windows"] == 1.0
    show_requests(found)
    told = " ".join(capsys.readouterr().out.split())
    assert "of windows of 128 of these requests 100.0% are unlike what was promised on" in told
    assert evaluate_requests(strange[:100], one, encoder, fitted)[0]["refused_windows"] is None
    assert evaluate_requests(strange, registry, encoder, fitted)[0]["refused_windows"] is None


def test_how_sure_a_share_of_windows_is_rests_on_the_requests_not_on_how_many_windows_are_drawn(
    registry: Registry, encoder: Encoder, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With windows drawn again as if each were other requests, a hundred times as many made it ten times as sure."""
    one = registry.model_copy(update={"policies": {"asked": Policy(max_risk=0.05)}, "default_policy": "asked"})
    own = [text for spec in registry.experts for text in examples_of(spec)[:90]]
    mixed = [ask(f"m-{at}", None, text if at % 20 else f"zxcv {at} qwer") for at, text in enumerate(own)]
    found, sure = evaluate_requests(mixed, one, encoder, fitted)
    of_all = sure["refused_windows"].centred()
    assert 0 < found["refused_windows"] < 1, "else there would be nothing to be sure of"
    assert of_all.low < found["refused_windows"] < of_all.high
    monkeypatch.setattr("eval.requests.WINDOWS", 20_000)
    monkeypatch.setattr("eval.requests.OF_A_HALF", 1_000)
    again = evaluate_requests(mixed, one, encoder, fitted)[1]["refused_windows"].centred()
    assert again.high - again.low > 0.8 * (of_all.high - of_all.low)
    few = evaluate_requests(mixed[: 2 * WINDOW - 1], one, encoder, fitted)[1]["refused_windows"]
    assert np.isnan(few.low), "half of them fill no window"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_person_reads_words_within_the_terminal(
    registry: Registry,
    encoder: Encoder,
    fitted: Fitted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found, _ = evaluate_requests([TICKET, HELP, WRONG, LOST], registry, encoder, fitted)
    show_requests(found)
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > columns] == []
    assert "_" not in shown, "no name of the code's"
    rows = [line.split() for line in shown.splitlines()]
    assert ["chat", "shoal-help", "1", "1"] in rows, "who was mistaken for whom"
    assert ["noise", "1", "100.0%", "-", "-", "100.0%", "0.0%", "0.0%"] in rows
    told = " ".join(shown.split())
    assert "c, plain: chat's, went to shoal-help; likeliest shoal-help" in told
    assert WRONG.messages[-1]["content"] in told
    assert "-: " not in told, "every figure exists"


def test_a_figure_that_does_not_exist_is_a_dash_with_its_reason(
    registry: Registry, encoder: Encoder, fitted: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    for asked, why in ((LOST, "every request"), (TICKET, "no request")):
        show_requests(evaluate_requests([asked], registry, encoder, fitted)[0])
        told = capsys.readouterr().out
        assert "nan" not in told
        assert f"-: {why} of these is one that no expert should answer" in told
        assert "went to" not in told, "nothing failed"


def test_who_says_nothing_is_answered_by_nobody_but_the_fallback(
    registry: Registry, encoder: Encoder, fitted: Fitted
) -> None:
    found, sure = evaluate_requests([ask("e", None, "  ", kind="empty"), HELP], registry, encoder, fitted)
    assert (found["handled"], found["null_recall"]) == (1.0, 1.0)
    assert found["confusion"][FALLBACK] == {FALLBACK: 1}
    assert sure["handled"].value == 1.0


def test_the_shipped_rows_are_read() -> None:
    assert {row.split for row in read_requests(REQUESTS)} == {"validation", "test"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"r\.jsonl:2: no JSON"),
        ("[]", r"r\.jsonl:2: not an object"),
        (
            '{"id": "a", "messages": "hi", "label": null, "kind": "short", "split": "test"}',
            r"r\.jsonl:2: needs id, messages",
        ),
        (
            '{"id": "a", "messages": [1], "label": null, "kind": "short", "split": "test"}',
            r"2: Invalid type.*messages\[0\]",
        ),
        ('{"id": "a", "messages": [], "label": 3, "kind": "short", "split": "test"}', r"r\.jsonl:2: needs id"),
        ('{"id": "a", "messages": [], "label": null, "kind": "short", "split": "dev"}', r"split 'dev' is none of"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(SamplesError, match=problem) as raised:
        read_requests(path)
    assert "Remedy: " in str(raised.value)


def test_a_label_that_no_expert_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, it would be a failure that no choice could mend."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(ROOT / ".shoal"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    path = tmp_path / "r.jsonl"
    row = {"id": "a", "messages": [{"role": "user", "content": "Hi"}], "kind": "short", "split": "test"}
    for label, remedy in (("shoal-hepl", "did you mean 'shoal-help'?"), ("weather", "use one of: chat, shoal-help")):
        path.write_text("\n".join(json.dumps({**row, "label": each}) for each in (None, "chat", label)))
        done = CliRunner().invoke(app, ["requests", str(path), "--split", "test"])
        assert isinstance(done.exception, SamplesError)
        assert str(done.exception).startswith(f"{path}:3: no expert has the label '{label}'. Remedy: {remedy}")


def test_nothing_to_score_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    path = tmp_path / "r.jsonl"
    path.write_text("\n")
    with pytest.raises(SamplesError, match=r"r\.jsonl: holds no rows"):
        read_requests(path)
    path.write_text(REQUESTS.read_text().splitlines()[0])
    done = CliRunner().invoke(app, ["requests", str(path), "--split", "validation"])
    assert isinstance(done.exception, SamplesError)
    assert str(done.exception) == f"{path}: no row is marked validation. Remedy: --split test, or all"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match=r"none\.jsonl: cannot be read"):
        read_requests(tmp_path / "none.jsonl")


def test_a_label_may_be_missing_only_on_purpose(tmp_path: Path) -> None:
    """A forgotten label would count as out of every domain."""
    row: dict[str, Any] = {"id": "a", "messages": [], "kind": "short", "split": "test"}
    path = tmp_path / "r.jsonl"
    path.write_text(str(row).replace("'", '"'))
    with pytest.raises(SamplesError, match="needs id, messages, label"):
        read_requests(path)
