"""End to end: the shipped encoder and judge, the product's own choices, experts that follow a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from eval.answers.asking import CannotAsk, Desk, Memory, Said
from eval.answers.evaluation import examine, outcome_lines, replay
from eval.answers.questions import Question, read_questions
from eval.matrix import read_matrix
from eval.samples import SamplesError
from experts.registry import load_registry
from router.live import Live
from router.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
WEATHER = [
    f"Will it {doing} in {place} tomorrow?"
    for doing in ("rain", "snow", "freeze")
    for place in ("Oslo", "Rome", "Lima")
]
COOKING = [
    f"How do I {doing} {what}?" for doing in ("bake", "fry", "peel") for what in ("potatoes", "an egg", "a cake")
]
REGISTRY = """
version: 1
encoder: {{path: {encoder}, sha256: "{sha256}"}}
fallback: big
default_policy: balanced
power: {{dynamic_w_per_core: 2, source: s, as_of: 2026-11-01}}
policies:
  balanced: {{threshold: 0.5, out_of_domain: 0.0}}
  never: {{threshold: 1.0}}
experts:
  - id: weather
    kind: scripted
    description: w
    script: say-w.jsonl
    examples: w.jsonl
    params_b: 0.1
    context: 4096
  - id: cooking
    kind: scripted
    description: c
    script: say-c.jsonl
    examples: c.jsonl
    params_b: 0.2
    context: 4096
  - id: big
    kind: scripted
    description: b
    script: big.jsonl
    params_b: 8
    context: 4096
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2, source: s, as_of: 2026-11-01}}
"""
FAR = """\
  - {id: far, kind: openai, description: f, url: "http://127.0.0.1:1/v1", model: m, params_b: 1, context: 4096}
"""
QUESTIONS = [
    {"input": "Will it hail in Bern on Sunday?", "target": "umbrella", "scorer": "includes", "task": "w"},
    {"input": "Will there be fog in Kyiv tonight?", "target": "umbrella", "scorer": "includes", "task": "w"},
    {"input": "How do I boil an egg?", "target": "pan", "scorer": "includes", "task": "c"},
    {"input": "How do I roast potatoes?", "target": "pan", "scorer": "includes", "task": "c"},
]


def lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    encoder = load_registry(ROOT / "registry.yaml", {}).registry.encoder
    (tmp_path / "registry.yaml").write_text(REGISTRY.format(encoder=encoder.path, sha256=encoder.sha256))
    lines(tmp_path / "w.jsonl", [{"input": text} for text in WEATHER])
    lines(tmp_path / "c.jsonl", [{"input": text} for text in COOKING])
    lines(tmp_path / "say-w.jsonl", [{"match": ".", "reply": "Take an umbrella."}])
    lines(tmp_path / "say-c.jsonl", [{"match": "roast", "fail": "failed"}, {"match": ".", "reply": "Take a pan."}])
    lines(
        tmp_path / "big.jsonl",
        [{"match": "MARK", "reply": "7"}, {"match": ".", "reply": "Take a pan, or an umbrella."}],
    )
    lines(tmp_path / "q.jsonl", [dict(row) for row in QUESTIONS])
    settings = Settings(registry=tmp_path / "registry.yaml", data_dir=tmp_path / "data")
    opened = await Live.open(load_registry(settings.registry, {}), settings)
    yield opened
    await opened.aclose()


def desk(live: Live, tmp_path: Path) -> Desk:
    return Desk(live.snapshot, Memory(tmp_path / "kept.jsonl").read())


def quiet(_what: str, _done: int, _total: int) -> None:
    return


async def test_policies_are_replayed_over_what_the_experts_said(live: Live, tmp_path: Path) -> None:
    questions, _ = read_questions(tmp_path / "q.jsonl")
    found = await replay(live.snapshot, await examine(desk(live, tmp_path), questions, None, quiet))
    routed, never = found["policies"]["balanced"], found["policies"]["never"]
    assert routed["quality"] == 1.0
    assert routed["share"] == {"weather": 0.5, "cooking": 0.25, "big": 0.25}  # what failed was answered by the fallback
    assert never["share"] == {"big": 1.0}
    assert never["cost_usd"] == pytest.approx(found["baselines"]["always_fallback"]["cost_usd"])
    assert 0 < routed["cost_usd"] < never["cost_usd"]
    assert routed["energy_j"] > 0  # the router's own work
    assert found["baselines"]["only weather"]["quality"] == 0.5
    assert found["gain"]["balanced"]["always_fallback"]["value"] == 0.0
    assert found["by_task"]["c"]["experts"] == {"weather": 0.0, "cooking": 0.5, "big": 1.0}


async def test_a_policy_that_can_promise_nothing_is_told_beside_its_figures(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(path.read_text().replace("policies:\n", "policies:\n  proven: {max_risk: 0.0001}\n"))
    await live.adopt(load_registry(path, {}))
    questions = read_questions(tmp_path / "q.jsonl")[0][:1]
    found = await replay(live.snapshot, await examine(desk(live, tmp_path), questions, None, quiet))
    assert found["policies"]["proven"]["share"] == {"big": 1.0}
    (told,) = found["refused"].items()
    assert told[0] == "proven"
    assert told[1].startswith("a risk of 0.0001 at confidence 0.9 takes at least 34046 labelled examples")


async def test_the_routers_work_costs_its_electricity(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(path.read_text().replace("power: {", "power: {usd_per_kwh: 10, "))
    await live.adopt(load_registry(path, {}))
    questions, _ = read_questions(tmp_path / "q.jsonl")
    found = await replay(live.snapshot, await examine(desk(live, tmp_path), questions, None, quiet))
    routed, alone = found["policies"]["never"], found["baselines"]["always_fallback"]
    own_usd, own_j = (routed[name] - alone[name] for name in ("cost_usd", "energy_j"))
    assert own_usd > 0
    assert own_usd == pytest.approx(own_j / 3.6e6 * 10, rel=1e-6)


async def test_what_an_expert_without_a_price_costs_is_not_known_and_not_nothing(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(path.read_text() + FAR)
    await live.adopt(load_registry(path, {}))
    questions = read_questions(tmp_path / "q.jsonl")[0][:1]
    at_desk = desk(live, tmp_path)
    spec, asked = live.snapshot.registry.expert("far"), questions[0]
    body = {"model": "far", "messages": asked.messages, "max_tokens": asked.max_tokens, "temperature": 0}
    at_desk.memory.keep(at_desk._key(spec, body), Said("Take it.", "", {"input": 9, "output": 5}, None, 1))
    examined = await examine(at_desk, questions, None, quiet)
    found = await replay(live.snapshot, examined)
    assert found["baselines"]["only far"]["cost_usd"] is None
    assert found["baselines"]["random"]["cost_usd"] is None
    assert found["baselines"]["only weather"]["cost_usd"] == 0.0  # it works inside the router
    assert found["policies"]["balanced"]["cost_usd"] == 0.0  # nobody asked the one without a price
    (tmp_path / "o.jsonl").write_bytes(b"".join(outcome_lines(examined)))
    told = json.loads((tmp_path / "o.jsonl").read_text())["outcomes"]
    assert (told["far"]["cost_usd"], told["weather"]["cost_usd"]) == (None, 0.0)
    with pytest.raises(SamplesError, match=r"'cost_usd' is None, no cost\. Remedy: --objective one of energy_j"):
        read_matrix(tmp_path / "o.jsonl", "cost_usd")


async def test_nobody_is_asked_twice_the_same(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions, _ = read_questions(tmp_path / "q.jsonl")
    first = await examine(desk(live, tmp_path), questions[:3], None, quiet)
    kept = tmp_path / "kept.jsonl"
    assert len(kept.read_bytes().splitlines()) == 9
    with kept.open("ab") as file:
        file.write(b'{"key": "cut in the mid')
    asked: list[str] = []
    ask = Desk._ask

    async def counting(self: Desk, spec: object, body: dict[str, object]) -> Said:
        asked.append(str(body["model"]))
        return await ask(self, spec, body)  # type: ignore[arg-type]

    monkeypatch.setattr(Desk, "_ask", counting)
    again = await examine(desk(live, tmp_path), questions, None, quiet)
    assert asked == ["weather", "cooking", "big"]  # the fourth question only
    assert again.said[:3] == first.said


async def test_what_a_model_said_that_was_replaced_is_told_as_old_and_asked_anew(live: Live, tmp_path: Path) -> None:
    """Behind the same URL and name it is the same expert, so its answers are kept under the same keys."""
    questions, path = read_questions(tmp_path / "q.jsonl")[0], tmp_path / "kept.jsonl"
    today = datetime.now(UTC).date().isoformat()
    fresh = desk(live, tmp_path)
    first = await examine(fresh, questions[:2], None, quiet)
    assert fresh.kept() == {"answers": 0, "of": 6, "first": None, "last": None}
    old = {"text": "Sun.", "asked_on": "2026-01-02"}
    lines(path, [json.loads(line) | old for line in path.read_text().splitlines()])
    again = desk(live, tmp_path)
    assert not (await examine(again, questions[:3], None, quiet)).answers.scores[:2].any()
    assert again.kept() == {"answers": 6, "of": 9, "first": "2026-01-02", "last": "2026-01-02"}
    anew = Desk(live.snapshot, Memory(path).read(), anew=True)
    assert (await examine(anew, questions[:2], None, quiet)).answers.scores.tolist() == first.answers.scores.tolist()
    assert (await examine(anew, questions[:2], None, quiet)).answers.scores.any()
    assert anew.kept()["answers"] == 0
    assert len(path.read_bytes().splitlines()) == 9 + 6, "what was asked anew is asked once"
    after = desk(live, tmp_path)
    assert (await examine(after, questions[:2], None, quiet)).answers.scores.tolist() == first.answers.scores.tolist()
    assert after.kept() == {"answers": 6, "of": 6, "first": today, "last": today}


async def test_the_answers_are_outcomes_for_the_judge(live: Live, tmp_path: Path) -> None:
    questions, _ = read_questions(tmp_path / "q.jsonl")
    (tmp_path / "o.jsonl").write_bytes(
        b"".join(outcome_lines(await examine(desk(live, tmp_path), questions, None, quiet)))
    )
    matrix = read_matrix(tmp_path / "o.jsonl", "cost_usd")
    assert set(matrix.models) == {"weather", "cooking", "big"}
    assert matrix.tasks == ("w", "w", "c", "c")
    assert matrix.scores[:, matrix.models.index("big")].tolist() == [1, 1, 1, 1]


async def test_an_expert_that_cannot_be_asked_is_no_expert_that_is_wrong(live: Live, tmp_path: Path) -> None:
    lines(tmp_path / "say-w.jsonl", [{"match": ".", "fail": "unavailable"}])
    questions, _ = read_questions(tmp_path / "q.jsonl")
    with pytest.raises(CannotAsk, match=r"weather: cannot be asked .*Remedy: mend it and run again"):
        await examine(desk(live, tmp_path), questions, None, quiet)


async def test_a_rubric_needs_a_model_that_marks(live: Live, tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "Why is the sky blue?"}]
    question = Question(asked, "names scattering", "rubric", "s")
    with pytest.raises(SamplesError, match="Remedy: --judge"):
        await examine(desk(live, tmp_path), [question], None, quiet)
    found = await examine(desk(live, tmp_path), [question], live.snapshot.registry.expert("big"), quiet)
    assert found.answers.scores.tolist() == [[0.7, 0.7, 0.7]]


async def test_a_rubric_is_held_against_what_is_said_and_a_mark_read_from_it(live: Live, tmp_path: Path) -> None:
    lines(tmp_path / "say-w.jsonl", [{"match": ".", "reply": "<think>\nA pan?\n</think>\nTake an umbrella."}])
    marks = [{"match": "ANSWER\\nTake an", "reply": "<think>\n\n</think>\n\n9"}, {"match": "MARK", "reply": "<think>2"}]
    lines(tmp_path / "big.jsonl", [*marks, {"match": ".", "reply": "A pan."}])
    await live.adopt(load_registry(tmp_path / "registry.yaml", {}))
    question = Question([{"role": "user", "content": "Will it rain?"}], "advises", "rubric", "s")
    found = await examine(desk(live, tmp_path), [question], live.snapshot.registry.expert("big"), quiet)
    assert np.isnan(found.answers.scores).tolist() == [[False, True, True]]
    assert found.answers.scores[0, 0] == 0.9
