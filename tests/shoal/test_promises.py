"""What a risk policy would promise, shown before it serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.promises.budget import ASSUMED, MIX
from shoal.promises import show
from tests.service.server import CACHE, ROOT, rows, write_registry
from tests.service.test_promises import POEMS, RECIPES


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promised")
    path = write_registry(folder)
    rows(folder / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(folder / "recipes.jsonl", [{"input": text} for text in RECIPES])
    path.write_text(path.read_text().replace("policies: {", "policies: {safe: {max_risk: 0.05}, "))
    return path


def shoal(registry: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SHOAL_REGISTRY": str(registry), "SHOAL_DATA_DIR": str(CACHE)}
    command = [sys.executable, "-m", "shoal", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_certify_shows_what_would_be_promised(registry: Path) -> None:
    done = shoal(registry, "eval", "certify", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["policy"], found["state"]) == ("safe", "valid")
    assert len(POEMS) < found["n"] < len(POEMS) + len(RECIPES), "those that differ in a word count once"
    assert found["bound"] <= 0.05
    lax = shoal(registry, "eval", "certify", "--max-risk", "0.6")
    assert lax.returncode == 0, lax.stderr
    told = "max_risk 0.6: threshold no lower than 0.8: made from examples alone, which count the fallback as perfect"
    assert told in " ".join(lax.stdout.split())
    assert not (CACHE / "certificates/safe.json").exists()


def test_nothing_of_the_table_is_cut_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = {"max_risk": 0.015, "confidence": 0.95}
    budget = {
        "policy": "thrifty",
        "asked": {"max_fallback_share": 0.4},
        "state": "valid",
        "kind": "estimate",
        "why": "",
    }
    spent = {"threshold": 0.5, "beyond": None, "expected": 0.25, "high": 0.3125, "fallback_share": 0.25, "n": 12345}
    figures = {"threshold": 0.8123, "beyond": "chat", "loss": 0.0123, "bound": 0.0149, "kept": 0.2764, "n": 12345}
    told = {"policy": "max_risk 0.015", "asked": asked, "state": "refused", "kind": "certificate", "why": ""}
    budget |= {"source": "examples", "assumed": ASSUMED.format(tokens="64 tokens asked")}
    show([{**told, **figures, "source": "examples, outcomes"}, {**budget, **spent}])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for said in ("refused", "0.8123", "P(chat)", "0.0123", "0.0149", "27.6%", "12,345", "0.015", "0.95", "outcomes"):
        assert said in shown, shown
    for whole in ("max_risk 0.015", "thrifty", "threshold", "examples", "0.25", "~0.3125", "75.0%"):
        assert whole in shown, shown  # no name is broken
    assert "without the router's own work and electricity, which no threshold changes." in " ".join(shown.split())


def test_a_name_that_80_columns_do_not_hold_is_neither_cut_nor_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "a-policy-of-a-name-" + "x" * 45
    show([{"policy": name, "asked": {"max_risk": 0.01}, "state": "refused", "kind": "certificate", "why": "too few"}])
    assert name in capsys.readouterr().out


def test_a_risk_may_be_tried_and_one_that_cannot_be_kept_fails(registry: Path) -> None:
    done = shoal(registry, "eval", "certify", "--max-risk", "0.001")
    assert done.returncode == 1
    assert "takes at least" in done.stdout
    assert "Remedy:" in done.stdout


@pytest.mark.parametrize("risk", ["0", "1", "-0.1", "nan", "1e-320"])
def test_a_risk_that_is_none_is_wrong_usage(registry: Path, risk: str) -> None:
    done = shoal(registry, "eval", "certify", "--max-risk", risk)
    assert done.returncode == 2
    assert "--max-risk" in done.stderr


def test_a_run_that_the_plan_lacks_is_wrong_usage(registry: Path) -> None:
    done = shoal(registry, "eval", "run", "--only", "nope")
    assert done.returncode == 2
    assert "--only" in done.stderr
    assert "'nope'" in done.stderr


def test_checking_the_registry_says_it_too(registry: Path) -> None:
    done = shoal(registry, "registry", "check", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["valid"]
    assert [each["policy"] for each in found["promises"]] == ["safe"]
    assert "safe" in shoal(registry, "registry", "check").stdout


def test_what_arrives_in_another_mix_is_told_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    told = {
        "policy": "thrifty",
        "asked": {"max_fallback_share": 0.4},
        "state": "valid",
        "kind": "estimate",
        "why": None,
    }
    show([told | {"recent": {"contradicts": "the newest 480 requests differ"}}, told | {"recent": None}])
    assert "thrifty: the newest 480 requests differ" in capsys.readouterr().out


def test_what_budgets_of_several_kinds_assume_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    share = MIX.format(n=480, what="paired outcomes")
    told = {"state": "refused", "kind": "estimate", "why": None}
    show(
        [
            told | {"policy": "calls", "asked": {"max_fallback_share": 0.4}, "assumed": share},
            told | {"policy": "joules", "asked": {"max_j_per_kreq": 9}, "assumed": f"{share}; {ASSUMED}"},
            told | {"policy": "money", "asked": {"max_usd_per_kreq": 9}, "assumed": f"{share}; {ASSUMED}"},
        ]
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("A budget is an estimate: requests come in the same mix") == 1
    assert f"{share}; {ASSUMED}." in shown
