"""`shoal route` and `shoal registry check`: what a user can mend ends in clear lines, and nothing learnt is no end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experts.registry import load_registry
from router.live import Live
from router.settings import Settings
from tests.service.server import CACHE, ROOT, rows, write_registry


def shoal(registry: Path, *arguments: str, data: Path = CACHE) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SHOAL_REGISTRY": str(registry), "SHOAL_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "shoal", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("model", ["nope", "auto:carefull", "auto:"])
def test_a_mistyped_model_is_one_line_with_the_known_ones(tmp_path: Path, model: str) -> None:
    done = shoal(write_registry(tmp_path), "route", "x", "--model", model)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"shoal: --model: there is no {model!r}. Remedy: one of auto, auto:")
    assert {"fallback", "poet", "cook", "big"} <= set(line.split("one of ", 1)[1].split(", "))


def test_without_a_readable_pointer_it_routes_and_says_so_until_it_is_mended(tmp_path: Path) -> None:
    registry, data = write_registry(tmp_path), tmp_path / "data"
    (data / "learned").mkdir(parents=True)
    (data / "learned/current.json").write_text("{")
    told = "current.json: cannot be read"
    for command in (["route", "write a poem"], ["learn", "list"]):
        done = shoal(registry, *command, "--json", data=data)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        assert told in done.stderr
        assert "Remedy: shoal learn rollback NUMBER" in done.stderr
    mended = shoal(registry, "learn", "rollback", "0", data=data)
    assert (mended.returncode, mended.stdout) == (0, "edition 0 serves\n")
    assert told not in shoal(registry, "learn", "list", data=data).stderr


def test_a_question_about_another_registry_leaves_what_a_server_keeps_as_it_was(tmp_path: Path) -> None:
    data, (served, other) = tmp_path / "data", (tmp_path / name for name in ("served", "other"))
    promise = ("policies: {", "policies: {safe: {max_risk: 0.5}, ")
    for folder in (served, other):
        folder.mkdir()
        path = write_registry(folder)
        path.write_text(path.read_text().replace(*promise))
    rows(other / "poems.jsonl", [{"input": f"write a poem about {what}"} for what in ("rain", "my dog", "the sea")])
    data.mkdir()
    for shared in ("weights", "vectors"):
        (CACHE / shared).mkdir(parents=True, exist_ok=True)
        (data / shared).symlink_to(CACHE / shared)
    asyncio.run(_opened(served / "registry.yaml", data))
    kept = _files(data)
    assert {path.parent.name for path in kept} == {"certificates", "heads"}
    for folder in (served, other):
        done = shoal(folder / "registry.yaml", "route", "write a poem", "--model", "auto:safe", "--json", data=data)
        assert json.loads(done.stdout)["decision"]["threshold"] is not None, "the promise was not made"
        assert "certificate refused" not in done.stderr
        assert _files(data) == kept


def test_of_a_request_without_text_only_that_is_told(tmp_path: Path) -> None:
    done = shoal(write_registry(tmp_path), "route", "")
    assert done.stdout.splitlines() == [
        "→ big  the request holds no text to judge",
        "would change: none, whatever the policy the fallback answers",
    ]


def test_it_tells_what_the_policy_in_use_cannot_promise_and_of_no_other(tmp_path: Path) -> None:
    registry, text = tmp_path / "registry.yaml", (ROOT / "registry.yaml").read_text()
    for folder in ("experts/catalog", "router/encoder"):
        text = text.replace(folder, str(ROOT / folder))
    policies = "policies:\n  proven: {max_risk: 0.0001}\n  thrifty: {max_j_per_kreq: 0.000001}\n"
    registry.write_text(text.replace("policies:\n", policies))
    plain, proven, thrifty = (
        shoal(registry, "route", "write a poem", "--model", model) for model in ("auto", "auto:proven", "auto:thrifty")
    )
    assert (plain.returncode, plain.stderr) == (0, "")
    assert "policy proven can promise nothing: " in " ".join(proven.stdout.split())
    assert proven.stderr == "", "the reason says it"
    (line,) = thrifty.stderr.splitlines()
    assert line.startswith("policy thrifty: the promise is refused: even the most frugal threshold")


async def _opened(registry: Path, data: Path) -> None:
    """What a server keeps in its data folder when it starts."""
    live = await Live.open(load_registry(registry, {}), Settings.from_env({}, registry=registry, data_dir=data))
    await live.aclose()


def _files(folder: Path) -> dict[Path, bytes]:
    """Everything below a folder, but for what links lead to."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_reads_the_rows_of_every_file_and_names_each_line(tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    rows(tmp_path / "outcomes.jsonl", [{"input": "a", "outcomes": {"cook": {"score": score}}} for score in (1, 3)])
    (tmp_path / "outside.jsonl").write_text('{"input": "fine"}\n{"text": "no input"}\n')
    (tmp_path / "poems.jsonl").write_text('{"input": "fine"}\nno JSON\n')
    registry.write_text(registry.read_text() + "\noutcomes: outcomes.jsonl\noutside: outside.jsonl\n")
    done = shoal(registry, "registry", "check", "--json")
    assert done.returncode == 1, done.stdout
    problems = json.loads(done.stdout)["problems"]
    assert len(problems) == 3
    for place, what in (
        ("outcomes.jsonl:2", "outcomes.cook.score must be a number from 0 to 1, got 3"),
        ("outside.jsonl:2", "input is missing"),
        ("poems.jsonl:2", "is not JSON"),
    ):
        (problem,) = (each for each in problems if place in each)
        assert what in problem
        assert "Remedy: " in problem
    assert shoal(registry, "registry", "check").stderr.splitlines() == problems


def test_check_refuses_an_encoder_that_no_server_starts_with(tmp_path: Path) -> None:
    """One byte of it is another."""
    registry, folder = write_registry(tmp_path), tmp_path / "encoder"
    shutil.copytree(ROOT / "router/encoder", folder)
    pinned = load_registry(registry, {}).registry.encoder.sha256
    registry.write_text(registry.read_text().replace(f"{ROOT}/router/encoder", str(folder)))
    assert shoal(registry, "registry", "check").returncode == 0
    model = bytearray((folder / "model.onnx").read_bytes())
    model[1_000_000] ^= 1
    (folder / "model.onnx").write_bytes(model)
    done = shoal(registry, "registry", "check", "--json")
    assert done.returncode == 1, done.stdout
    (problem,) = json.loads(done.stdout)["problems"]
    assert f"the registry says {pinned}. Remedy: restore the file" in problem
    assert shoal(registry, "registry", "check").stderr.splitlines() == [problem]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("grid_zone: Narnia", "grid_zone 'Narnia' is not in the grid table. Remedy: "),
        ("grid_hours: hours.csv", "hours.csv:3: could not convert string to float: '30,5'. Remedy: "),
    ],
)
def test_check_finds_what_a_server_would_not_take_of_the_grid(tmp_path: Path, grid: str, said: str) -> None:
    registry = write_registry(tmp_path)
    (tmp_path / "hours.csv").write_text('zone,hour,g_per_kwh\nDEU,2025,330\nWOR,2025,"30,5"\n')
    registry.write_text(f"{registry.read_text()}{grid}\n")
    done = shoal(registry, "registry", "check", "--json")
    assert done.returncode == 1, done.stdout
    (problem,) = json.loads(done.stdout)["problems"]
    assert said in problem


def test_check_names_whose_outcomes_are_left_out(tmp_path: Path) -> None:
    """An expert that was renamed lost all its outcomes without a word."""
    registry = write_registry(tmp_path)
    told = {"chef": {"score": 1}, "cook": {"score": 1}, "sage": {"score": 0}}
    rows(tmp_path / "outcomes.jsonl", [{"input": "a", "outcomes": told}])
    registry.write_text(registry.read_text() + "\noutcomes: outcomes.jsonl\n")
    said = f"{tmp_path / 'outcomes.jsonl'}: outcomes of chef, sage are left out, for the registry has no such expert"
    done = shoal(registry, "registry", "check", "--json")
    assert (done.returncode, json.loads(done.stdout)["warnings"]) == (0, [said])
    assert shoal(registry, "registry", "check").stderr.splitlines()[:1] == [said]
    rows(tmp_path / "outcomes.jsonl", [{"input": "a", "outcomes": {"cook": {"score": 1}}}])
    assert json.loads(shoal(registry, "registry", "check", "--json").stdout)["warnings"] == []


def test_check_warns_of_examples_as_whoever_adds_an_expert_is_warned(tmp_path: Path) -> None:
    """A registry edited by hand was valid, and no word was said of what `shoal registry add` warns of."""
    registry = write_registry(tmp_path)
    recipes = (tmp_path / "recipes.jsonl").read_text().splitlines()
    (tmp_path / "recipes.jsonl").write_text("\n".join(recipes[:4]))
    (tmp_path / "poems.jsonl").write_text("\n".join([recipes[0], '{"input": "Write a poem"}']))
    done = shoal(registry, "registry", "check")
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert said == json.loads(shoal(registry, "registry", "check", "--json").stdout)["warnings"]
    poet, cook, both, few = said
    assert poet.startswith("poet: 2 examples are too few to tell its requests from others")
    assert cook.startswith("cook: 4 examples are too few to tell its requests from others")
    assert both.startswith(f"poet and cook have 1 example in common ({json.loads(recipes[0])['input']!r})")
    assert few.startswith("6 examples in all are too few to tell a request that is like none of them")
    new = ["--kind", "scripted", "--description", "d", "--params-b", "1", "--context", "4096"]
    new += ["--set", "script=big.jsonl"]
    (tmp_path / "new.txt").write_text("\n".join(json.loads(line)["input"] for line in recipes[:4]))
    added = shoal(registry, "registry", "add", "chef", *new, "--examples", str(tmp_path / "new.txt"), "--json")
    warned = json.loads(added.stdout)["warnings"]
    pairs = ["cook and chef have 4 examples in common", "poet and chef have 1 example in common"]
    assert [each.split(" (")[0] for each in warned[1:]] == pairs


def test_labels_that_are_all_the_same_are_refused_before_the_expert_is_asked(tmp_path: Path) -> None:
    """The registry was valid, the expert was added "with 0 examples", and could then not be loaded."""
    registry, path = write_registry(tmp_path), tmp_path / "queues.jsonl"
    rows(path, [{"input": f"where is order {at}", "label": "orders"} for at in range(6)])
    new = ["--kind", "labels", "--description", "d", "--params-b", "0.1", "--context", "256", "--set", f"labels={path}"]
    before = registry.read_text()
    done = shoal(registry, "registry", "add", "queue", *new)
    problem = f"{path}: every row has the label 'orders'. Remedy: add rows of another."
    assert (done.returncode, problem in done.stderr, registry.read_text()) == (1, True, before)
    rows(path, [{"input": f"where is order {at}", "label": "orders" if at % 2 else "parcels"} for at in range(6)])
    done = shoal(registry, "registry", "add", "queue", *new)
    assert "has the expert queue now, with 6 examples; version" in done.stdout, done.stderr
    rows(path, [{"input": "where is it", "label": "orders"}])
    assert problem in shoal(registry, "registry", "check").stderr
    (tmp_path / "new.txt").write_text("bake a cake\nbake a cake\nfry an egg\n")
    new = ["--kind", "scripted", "--description", "d", "--params-b", "1", "--context", "4096"]
    rows(path, [{"input": "where is it", "label": "orders"}, {"input": "what is it", "label": "things"}])
    new += ["--set", "script=big.jsonl", "--examples", str(tmp_path / "new.txt")]
    done = shoal(registry, "registry", "add", "chef", *new)
    assert "has the expert chef now, with 2 examples (1 of 3 lines repeat another); version" in done.stdout, done.stderr
