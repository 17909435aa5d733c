"""What an expert or the model that marks could not say now is missing, and never a wrong answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.answers.asking import CANNOT, CannotAsk, Said
from eval.answers.evaluation import examine, outcome_lines, replay
from eval.answers.questions import Question, read_questions
from eval.matrix import read_matrix
from experts.errors import ShoalError
from experts.registry import load_registry
from router.live import Live
from tests.eval.answers.test_evaluation import desk, lines, live, quiet
from tests.service.server import ROOT, eventually, write_registry
from tests.shoal.test_route import shoal
from tests.upstream import running

__all__ = ("live",)

RUBRIC = [
    Question([{"role": "user", "content": text}], "names scattering", "rubric", "s")
    for text in ("Why is the sky blue?", "Why is the sun yellow?")
]


@pytest.mark.parametrize("fail", ["overloaded", "timeout", "failed"])
async def test_a_mark_that_could_not_be_had_is_no_score_and_is_asked_for_again(
    live: Live, tmp_path: Path, fail: str
) -> None:
    lines(
        tmp_path / "big.jsonl",
        [{"match": "yellow[\\s\\S]*MARK", "fail": fail}, {"match": "MARK", "reply": "7"}, {"match": ".", "reply": "."}],
    )
    marker = live.snapshot.registry.expert("big")
    examined = await examine(desk(live, tmp_path), RUBRIC, marker, quiet)
    found = await replay(live.snapshot, examined)
    assert found["scored"] == 1
    assert found["missing"] == {"questions": 1, "unanswered": {}, "unmarked": {"weather": 1, "cooking": 1, "big": 1}}
    assert found["baselines"]["oracle"]["quality"] == found["baselines"]["only big"]["quality"] == 0.7
    (tmp_path / "o.jsonl").write_bytes(b"".join(outcome_lines(examined)))
    assert read_matrix(tmp_path / "o.jsonl", "energy_j").inputs == ("Why is the sky blue?",)
    kept = (tmp_path / "kept.jsonl").read_text()
    assert "Expert" not in kept, "a failure of the model that marks is not kept, so the mark is asked for again"


async def test_a_reply_without_a_mark_is_no_score(live: Live, tmp_path: Path) -> None:
    lines(tmp_path / "big.jsonl", [{"match": "MARK", "reply": "It is fine."}, {"match": ".", "reply": "."}])
    examined = await examine(desk(live, tmp_path), RUBRIC, live.snapshot.registry.expert("big"), quiet)
    with pytest.raises(ShoalError, match=r"no question has a score of every expert: weather: 2 answers .*Remedy"):
        await replay(live.snapshot, examined)


@pytest.mark.parametrize("fail", ["overloaded", "timeout"])
async def test_a_passing_failure_is_missing_and_not_wrong(live: Live, tmp_path: Path, fail: str) -> None:
    lines(tmp_path / "say-w.jsonl", [{"match": "Kyiv", "fail": fail}, {"match": ".", "reply": "Take an umbrella."}])
    questions, _ = read_questions(tmp_path / "q.jsonl")
    examined = await examine(desk(live, tmp_path), questions, None, quiet)
    found = await replay(live.snapshot, examined)
    assert found["scored"] == 3
    assert found["missing"] == {"questions": 1, "unanswered": {"weather": 1}, "unmarked": {}}
    assert found["by_task"]["w"] == {"rows": 1, "quality": 1.0, "experts": {"weather": 1.0, "cooking": 0.0, "big": 1.0}}
    (tmp_path / "o.jsonl").write_bytes(b"".join(outcome_lines(examined)))
    told = [json.loads(line)["outcomes"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [sorted(each) for each in told] == [
        ["big", "cooking", "weather"], ["big", "cooking"], ["big", "cooking", "weather"], ["big", "cooking", "weather"]
    ]  # fmt: skip
    assert told[3]["cooking"]["score"] == 0.0, "an answer that broke off is one, and wrong"


def test_whoever_cannot_be_asked_says_nothing_of_an_answer() -> None:
    kinds = [each for kind in CANNOT for each in (kind, *kind.__subclasses__())]
    assert len(kinds) > len(CANNOT)
    assert all(Said("", kind.__name__, {}, None, 1).passing for kind in kinds)


async def test_a_failure_counts_as_clients_have_it_is_told_and_is_asked_for_again(live: Live, tmp_path: Path) -> None:
    """A 5xx is an answer that nobody got; what would be got tomorrow it does not say, so it is not kept."""
    questions, _ = read_questions(tmp_path / "q.jsonl")
    examined = await examine(desk(live, tmp_path), questions, None, quiet)
    found = await replay(live.snapshot, examined)
    assert found["failed"] == {"cooking": 1}
    assert found["baselines"]["only cooking"]["quality"] == 0.25
    assert found["policies"]["balanced"]["quality"] == 1.0, "the fallback took over, as in serving"
    assert "Expert" not in (tmp_path / "kept.jsonl").read_text()


async def test_a_failure_that_an_older_version_kept_is_asked_for_again(live: Live, tmp_path: Path) -> None:
    asked = read_questions(tmp_path / "q.jsonl")[0][2:3]
    body = {"messages": asked[0].messages, "max_tokens": asked[0].max_tokens, "temperature": 0}
    at_desk = desk(live, tmp_path)
    for error in ("ExpertFailed", "ExpertUnauthorised"):
        at_desk.memory.keep(at_desk._key(live.snapshot.registry.expert("cooking"), body), Said("", error, {}, None, 1))
        examined = await examine(desk(live, tmp_path), asked, None, quiet)
        assert examined.answers.scores.tolist() == [[0.0, 1.0, 1.0]]


async def test_an_expert_that_refuses_our_key_ends_the_run(live: Live, tmp_path: Path) -> None:
    """No answer of it says anything, and with the right key there would be others."""
    questions, _ = read_questions(tmp_path / "q.jsonl")
    async with running() as server:
        server.behave("locked")(lambda exchange: exchange.send(b"{}", 401))
        far = f"{{id: far, kind: openai, description: f, url: '{server.url}', model: locked, params_b: 1, context: 99}}"
        registry = tmp_path / "registry.yaml"
        registry.write_text(f"{registry.read_text()}  - {far}\n")
        await live.adopt(load_registry(registry, {}))
        with pytest.raises(CannotAsk, match=r"far: cannot be asked \(the upstream answered 401.*Remedy: mend it"):
            await examine(desk(live, tmp_path), questions, None, quiet)
    assert "Unauthorised" not in (tmp_path / "kept.jsonl").read_text()


async def test_an_expert_that_keeps_breaking_is_given_up_and_the_others_go_on(live: Live, tmp_path: Path) -> None:
    """After five failures in a row nobody asks it for a while, in serving either; what it was not asked is missing."""
    asked = [Question([{"role": "user", "content": f"Poem {at}?"}], "poem", "includes", "p") for at in range(9)]
    lines(tmp_path / "say-w.jsonl", [{"match": "Poem [2-9]", "fail": "failed"}, {"match": ".", "reply": "A poem."}])
    examined = await examine(desk(live, tmp_path), asked, None, quiet)
    found = await replay(live.snapshot, examined)
    assert (found["scored"], found["missing"]["unanswered"]) == (7, {"weather": 2})
    assert list(found["given_up"]) == ["weather"]
    assert "failed just now" in found["given_up"]["weather"]
    assert found["failed"] == {"weather": 5}, "of those that are scored"
    kept = (tmp_path / "kept.jsonl").read_text()
    assert kept.count("\n") == 9 + 9 + 2, "the others were asked everything"
    assert "Expert" not in kept, "and it will be asked again"


async def test_failures_on_questions_that_are_in_no_figure_are_not_counted(live: Live, tmp_path: Path) -> None:
    lines(tmp_path / "say-w.jsonl", [{"match": "potatoes", "fail": "overloaded"}, {"match": ".", "reply": "umbrella"}])
    questions, _ = read_questions(tmp_path / "q.jsonl")
    found = await replay(live.snapshot, await examine(desk(live, tmp_path), questions, None, quiet))
    assert (found["scored"], found["failed"]) == (3, {}), "cooking breaks on the one that weather had no room for"


@pytest.mark.parametrize(("match", "code"), [("poem number 1", 0), (".", 1)])
def test_the_command_counts_what_is_missing_and_says_what_helps(tmp_path: Path, match: str, code: int) -> None:
    registry = write_registry(tmp_path)
    poet = tmp_path / "poet.jsonl"
    poet.write_text(json.dumps({"match": match, "fail": "overloaded"}) + "\n" + poet.read_text())
    asked = [{"input": f"poem number {at}", "target": "rain", "scorer": "includes"} for at in range(3)]
    lines(tmp_path / "asked.jsonl", [dict(row) for row in asked])
    words = ("eval", "answers", str(tmp_path / "asked.jsonl"), "--out", str(tmp_path / "o.jsonl"))
    done = shoal(registry, *words, data=tmp_path / "data")
    assert done.returncode == code, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "missing, for it had no room or no time" in said
    assert "Remedy: run again, which asks for what is missing alone" in said
    assert ("1 of 3 questions lack a score and are left out" in said) is (code == 0)
    told = [json.loads(line)["outcomes"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert sum("poet" in each for each in told) == (0 if code else 2)


def test_a_run_that_is_cut_says_that_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    registry, data = write_registry(tmp_path), tmp_path / "data"
    asked = [{"input": text, "target": "rain", "scorer": "includes"} for text in ("a poem on rain", "NEVER")]
    lines(tmp_path / "asked.jsonl", [dict(row) for row in asked])
    command = [sys.executable, "-m", "shoal", "eval", "answers", str(tmp_path / "asked.jsonl")]
    env = {**os.environ, "SHOAL_REGISTRY": str(registry), "SHOAL_DATA_DIR": str(data)}
    # What a shell runs in the background ignores SIGINT, and hands that on to its children; a handler is not handed on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with run:
        kept = data / "eval" / "answers.jsonl"
        eventually(lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 3)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert run.returncode == 130
    assert "what was answered so far is kept; the same command goes on from there" in said
