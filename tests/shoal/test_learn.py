"""`shoal learn` without a server, and without a ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.server import RECIPES, write_registry
from tests.shoal.test_route import shoal


def told(folder: Path, *models: str) -> Path:
    path = folder / "answers.jsonl"
    outcomes = {model: {"score": 1} for model in models}
    path.write_text("".join(json.dumps({"input": text, "outcomes": outcomes}) + "\n" for text in RECIPES))
    return path


def test_without_a_ledger_no_request_is_said_to_go_elsewhere_or_to_stay(tmp_path: Path) -> None:
    """It said "0 of the last 0 requests would go elsewhere"."""
    registry, path = write_registry(tmp_path), told(tmp_path, "cook")
    done = shoal(registry, "learn", "try", "--outcomes", str(path), data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "0 requests" not in done.stdout
    assert "no requests are kept, so which would go elsewhere cannot be told" in done.stdout


def test_an_edition_of_an_expert_that_was_renamed_says_that_its_scores_are_left_out(tmp_path: Path) -> None:
    """It served, nothing it told of that expert was used, and `shoal learn list` showed the old name alone."""
    registry, data, path = write_registry(tmp_path), tmp_path / "data", told(tmp_path, "cook", "poet")
    assert shoal(registry, "learn", "apply", "--force", "--outcomes", str(path), data=data).returncode == 0
    listed = shoal(registry, "learn", "list", "--json", data=data)
    assert (listed.stderr, json.loads(listed.stdout)["warnings"]) == ("", [])
    registry.write_text(registry.read_text().replace("id: cook", "id: chef"))
    said = "edition 1, learnt from use, has scores of cook, and the registry has no such expert: they are left out"
    listed = shoal(registry, "learn", "list", "--json", data=data)
    (warning,) = json.loads(listed.stdout)["warnings"]
    assert warning.startswith(said)
    assert shoal(registry, "learn", "list", data=data).stderr.splitlines() == [warning]


def test_a_shell_without_the_servers_fallback_is_told_what_its_judge_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same command said one thing beside the server and another in a shell, and neither said why."""
    registry, data, path = write_registry(tmp_path), tmp_path / "data", told(tmp_path, "cook", "fallback")
    monkeypatch.setenv("SHOAL_FALLBACK_URL", "http://127.0.0.1:9/v1")
    done = shoal(registry, "learn", "apply", "--force", "--outcomes", str(path), data=data)
    assert done.returncode == 0, done.stderr
    assert "has scores of" not in shoal(registry, "route", "bake a cake", data=data).stderr
    monkeypatch.delenv("SHOAL_FALLBACK_URL")
    said = "edition 1, learnt from use, has scores of fallback, and the registry has no such expert: they are left out"
    remedy = "Remedy: the expert fallback is made by SHOAL_FALLBACK_URL, SHOAL_FALLBACK_MODEL and the like: set them"
    for command in (["route", "bake a cake"], ["eval", "certify", "--max-risk", "0.5"]):
        done = shoal(registry, *command, data=data)
        assert f"{said}. {remedy} here as for the server; " in done.stderr, command
