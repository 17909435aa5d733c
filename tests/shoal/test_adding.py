"""`shoal registry add`: what no server could serve is refused before a word of it is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.server import ROOT, rows, write_registry
from tests.shoal.test_main import shoal

ADD = ("registry", "add", "chef", "--kind", "scripted", "--description", "d", "--params-b", "1", "--context", "4096")


def _another_encoder(folder: Path) -> str:
    """A byte of the model is another than the one pinned."""
    model, registry = folder / "encoder" / "model.onnx", folder / "registry.yaml"
    shutil.copytree(ROOT / "router/encoder", model.parent)
    changed = bytearray(model.read_bytes())
    changed[-1] ^= 1
    model.write_bytes(changed)
    registry.write_text(registry.read_text().replace(str(ROOT / "router/encoder"), str(model.parent)))
    return f"{model}: sha256 is "


def _another_experts_examples(folder: Path) -> str:
    rows(folder / "poems.jsonl", [{"input": 3}])
    return f"{folder / 'poems.jsonl'}:1: input must be a text"


def _examples_of_nobody(folder: Path) -> str:
    rows(folder / "outside.jsonl", [{"text": "What is the time?"}])
    with (folder / "registry.yaml").open("a") as registry:
        registry.write("\noutside: outside.jsonl\n")
    return f"{folder / 'outside.jsonl'}:1: "


@pytest.mark.parametrize("spoil", [_another_encoder, _another_experts_examples, _examples_of_nobody])
def test_nothing_is_written_where_another_file_of_the_registry_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    """The command ended with the problem and 1, and a running server served the expert."""
    registry, examples = write_registry(tmp_path), tmp_path / "new.txt"
    examples.write_text("bake a cake\nfry an egg\n")
    problem = spoil(tmp_path)
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    before, files = registry.read_bytes(), sorted(tmp_path.iterdir())
    words = (*ADD, "--set", "script=big.jsonl", "--examples", str(examples), "--registry", str(registry))
    assert shoal(monkeypatch, *words) == 1
    assert problem in capsys.readouterr().err
    assert (registry.read_bytes(), sorted(tmp_path.iterdir())) == (before, files)


def test_outcomes_of_another_expert_hide_nothing_of_a_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With one line of outcomes, of whomever, no word was said of too few examples, and none of who would get them."""
    registry, examples = write_registry(tmp_path), tmp_path / "new.txt"
    examples.write_text("prune the apple tree\nplant a hedge of yew\n")
    rows(tmp_path / "outcomes.jsonl", [{"input": "a haiku about snow", "outcomes": {"poet": {"score": 1}}}])
    with registry.open("a") as text:
        text.write("\noutcomes: outcomes.jsonl\n")
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    words = (*ADD, "--set", "script=big.jsonl", "--examples", str(examples), "--registry", str(registry))
    assert shoal(monkeypatch, *words) == 0
    told = capsys.readouterr()
    assert "chef: 2 examples are too few to tell its requests from others" in told.err
    assert "chef: of 2 examples, each judged without itself, " in told.out
