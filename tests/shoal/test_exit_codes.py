"""2: the command line alone is wrong, whatever files hold. 1: what a file holds is wrong, or a check failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from eval.plan import FIGURES
from experts.spec import Capability
from router.meter.tariff import cores
from shoal.serve import MOST_WORKERS_PER_CORE
from tests.service.server import POEMS, rows, write_registry
from tests.shoal.test_main import shoal

ROOT = Path(__file__).resolve().parents[2]
NONE = "none.jsonl"
"""A file that is not there."""
ADD = ("registry", "add", "x", "--kind", "openai", "--description", "d", "--params-b", "1", "--context", "99")
RECORD = str(ROOT / "eval" / "results" / "clinc150.json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a registry, and files of every kind: some are right, some are not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("SHOAL_REGISTRY", raising=False)
    write_registry(tmp_path)
    rows(tmp_path / "bad.jsonl", [{"input": "a", "label": "x", "split": "dev"}])
    answers = {"small": {"score": 1, "usd": 1}, "big": {"score": 1, "usd": 2}}
    rows(tmp_path / "outcomes.jsonl", [{"input": text, "outcomes": answers} for text in POEMS])
    (tmp_path / "bad.yaml").write_text("experts: 3\n")
    (tmp_path / "hours.csv").write_text("zone,hour,g_per_kwh\nFRA,2026-11-01T08:00,40\n")
    return tmp_path


def test_the_folder_is_right_where_nothing_is_wrong(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise what follows would tell nothing."""
    assert shoal(monkeypatch, "registry", "check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True
    assert shoal(monkeypatch, "keys", "list") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "labels", NONE),
        ("eval", "labels", "bad.jsonl", "--shots", "0"),
        ("eval", "outcomes", NONE, "--fallback", "big", "--objective", "usd"),
        ("eval", "outcomes", "outcomes.jsonl", "--fallback", "nobody", "--objective", "usd"),
        ("eval", "outcomes", "outcomes.jsonl", "--fallback", "big", "--objective", "joules"),
        ("eval", "outcomes", "outcomes.jsonl", "--fallback", "big", "--objective", "usd", "--split", "--train", "3"),
        ("eval", "answers", NONE),
        ("eval", "answers", "--judge", "nobody"),
        ("eval", "run", "--only", "nobody"),
        ("eval", "run", "--plan", NONE),
        ("eval", "run", "--only", "clinc150", "--data", "nowhere"),
        ("eval", "check", "--against", NONE),
        ("eval", "check", "--against", "."),
        ("eval", "check", "--against", RECORD, "--current", NONE),
        ("eval", "check", "--against", RECORD, "--current", RECORD.replace("clinc150", "banking77")),
        ("eval", "check", "--against", RECORD, "--plan", NONE),
        ("eval", "check", "--against", RECORD, "--data", "nowhere"),
        ("eval", "report", "nowhere"),
        ("eval", "requests", NONE),
        ("eval", "requests", "--split", "dev"),
        ("eval", "requests", "--policy", "nobody"),
        ("eval", "requests", "--registry", NONE),
        ("eval", "certify", "--max-risk", "2"),
        ("eval", "certify", "--registry", NONE),
        ("learn", "show", "--registry", NONE),
        ("learn", "try", "--outcomes", NONE),
        ("learn", "apply", "--outcomes", NONE),
        ("learn", "rollback", "7"),
        ("learn", "list", "--registry", NONE),
        ("meter", "report", "--registry", NONE),
        ("meter", "report", "--from", "yesterday"),
        ("meter", "report", "--group-by", "colour"),
        ("meter", "report", "--grid-zone", "ZZZ"),
        ("meter", "report", "--grid-hours", "hours.csv", "--grid-zone", "ZZZ"),
        ("meter", "export", "--format", "pdf"),
        ("meter", "overview", "--server", "nonsense"),
        ("registry", "check", "--registry", NONE),
        ("registry", "list", "--registry", NONE),
        ("registry", "schema", "--write", "nowhere/schema.json"),
        (*ADD, "--set", "novalue"),
        (*ADD, "--url", "http://127.0.0.1:9/v1", "--model", "m", "--set", "id=another"),
        (*ADD, "--url", "http://127.0.0.1:9/v1", "--model", "m", "--examples", NONE),
        ("experts", "pull", "--registry", NONE),
        ("experts", "train", "encoder", "--data", NONE, "--out", "made"),
        ("keys", "create", "x", "--model", "nobody"),
        ("keys", "create", "x", "--registry", NONE),
        ("keys", "create", "x", "--budget-usd-per-day", "inf"),
        ("keys", "create", "x", "--budget-j-per-day", "1e30"),
        ("keys", "create", "x", "--tokens-per-minute", "99999999999999999999"),
        ("keys", "create", "x", "--requests-per-minute", "99999999999999999999"),
        ("keys", "revoke", "abcdef"),
        ("route", "hello", "--registry", NONE),
        ("route", "hello", "--model", "nobody"),
        ("serve", "--registry", NONE),
        ("serve", "--port", "99999"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_changes_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = (here / "registry.yaml").read_bytes()
    assert shoal(monkeypatch, *words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert (here / "registry.yaml").read_bytes() == before
    assert not (here / "data" / "keys.sqlite").exists()
    if NONE in words:
        assert NONE in told.err
    if "ZZZ" in words:
        assert told.err.startswith("shoal: --grid-zone: ")
        assert "'ZZZ'" in told.err
        assert "Remedy: " in told.err


@pytest.mark.parametrize("words", ["meter report", "meter overview", "meter export", "meter audit", "learn try"])
def test_where_there_is_no_ledger_every_command_ends_with_2(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """The audit alone did; its 1 says that something does not add up."""
    assert shoal(monkeypatch, *words.split()) == 2
    path = here / "data" / "ledger.sqlite"
    remedy = "serve first, or set SHOAL_DATA_DIR to the folder that holds one"
    said = f"shoal: there is no ledger at {path}: it is made when Shoal first serves. Remedy: {remedy}\n"
    assert capsys.readouterr() == ("", said)
    assert not path.exists()
    path.mkdir(parents=True)
    assert shoal(monkeypatch, *words.split()) == 2
    remedy = "move it away, or set SHOAL_DATA_DIR to the folder that holds a ledger"
    assert capsys.readouterr() == ("", f"shoal: {path} is a folder, where the ledger should be. Remedy: {remedy}\n")


CAPABILITIES = ", ".join(get_args(Capability))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--kind", "opnai"), "--kind: 'opnai' is no kind of expert. Remedy: one of openai, llama_cpp, answers,"),
        (("--capability", "nocap"), f"--capability: 'nocap' is none. Remedy: one of {CAPABILITIES}\n"),
        (("--capability", "stream", "--capability", "tool"), "--capability: 'tool' is none. Remedy: one of stream, "),
        (
            ("--set", "price={"),
            "shoal: --set: price: column 2: the text ends where a [ or { is open. Remedy: close it with ] or }",
        ),
        (("--set", "price={input_usd_per_mtok: 1"), "--set: price: column 1: a { opens here and never closes. Remedy:"),
        (("--params-b", "-1"), "Invalid value for '--params-b': "),
        (("--context", "0"), "Invalid value for '--context': "),
    ],
    ids=str,
)
def test_a_value_that_an_expert_cannot_have_is_told_with_its_option(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...],
    said: str,
) -> None:
    """It was told of a line of the registry that nobody has, for the registry is left as it was."""
    before = (here / "registry.yaml").read_bytes()
    words = [*ADD, "--url", "http://127.0.0.1:9/v1", "--model", "m", *given]
    assert shoal(monkeypatch, *words) == 2
    told = capsys.readouterr().err
    assert said in (" ".join(told.replace("│", " ").split()) if said.startswith("Invalid") else told)
    assert "registry.yaml" not in told
    assert (here / "registry.yaml").read_bytes() == before


@pytest.mark.parametrize("given", [NONE, "."])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("eval", "labels"), "FILES"),
        (("eval", "outcomes", "--fallback", "big", "--objective", "usd"), "FILES"),
        (("eval", "answers"), "FILE"),
        (("eval", "requests"), "FILE"),
        (("eval", "run", "--plan"), "--plan"),
        (("eval", "check", "--against"), "--against"),
        (("eval", "check", "--against", RECORD, "--current"), "--current"),
        (("learn", "try", "--outcomes"), "--outcomes"),
        (("learn", "apply", "--outcomes"), "--outcomes"),
        (("meter", "report", "--grid-hours"), "--grid-hours"),
        (("meter", "report", "--registry"), "--registry"),
        (("registry", "list", "--registry"), "--registry"),
        ((*ADD, "--url", "http://127.0.0.1:9/v1", "--model", "m", "--examples"), "--examples"),
        (("experts", "train", "encoder", "--out", "made", "--data"), "--data"),
        (("experts", "train", "encoder", "--out", "made", "--data", "outcomes.jsonl", "--guard"), "--guard"),
        (("experts", "train", "encoder", "--out", "made", "--data", "outcomes.jsonl", "--anchor"), "--anchor"),
    ],
    ids=str,
)
def test_a_file_that_is_none_is_told_with_its_option(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    named: str,
    given: str,
) -> None:
    assert shoal(monkeypatch, *words, given) == 2
    path = str(here / given) if named == "--registry" else given
    said = f"there is no file {path}. Remedy: correct the path"
    if given == ".":
        said = f"{path} is a folder. Remedy: name a file"
    assert capsys.readouterr() == ("", f"shoal: {named}: {said}\n")


def test_a_folder_that_is_none_is_told_with_its_argument(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, said in (("no", "there is no folder no. Remedy: correct"), ("bad.yaml", "bad.yaml is a file. Remedy: ")):
        assert shoal(monkeypatch, "eval", "report", given) == 2
        assert capsys.readouterr().err.startswith(f"shoal: RESULTS: {said}")


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "labels", "bad.jsonl"),
        ("eval", "outcomes", "bad.jsonl", "--fallback", "big", "--objective", "usd"),
        ("eval", "run", "--plan", "bad.yaml"),
        ("eval", "check", "--against", "bad.jsonl"),
        ("eval", "report", ".", "--plan", str(FIGURES)),
        ("eval", "requests", "bad.jsonl"),
        ("eval", "certify", "--max-risk", "0.000001"),
        ("learn", "try", "--outcomes", "bad.jsonl"),
        ("registry", "check", "--registry", "bad.yaml"),
        ("meter", "report", "--grid-hours", "hours.csv"),
        (*ADD, "--url", "http://127.0.0.1:9/v1", "--model", "m", "--set", "grid_zone=nowhere"),
        ("serve", "--registry", "bad.yaml"),
    ],
    ids=" ".join,
)
def test_what_a_file_holds_or_a_check_finds_ends_with_1(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = (here / "registry.yaml").read_bytes()
    assert shoal(monkeypatch, *words) == 1
    told = capsys.readouterr()
    assert "Remedy: " in told.err + told.out
    assert (here / "registry.yaml").read_bytes() == before


def test_more_workers_than_cores_could_serve_are_refused_before_one_starts(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    most = MOST_WORKERS_PER_CORE * cores()
    nowhere = str(here / "none.yaml")  # so that none would start either way
    assert shoal(monkeypatch, "serve", "--registry", nowhere, "--workers", str(most + 1)) == 2
    assert f"--workers: {most + 1} are more than {most}" in capsys.readouterr().err
    shoal(monkeypatch, "serve", "--registry", nowhere, "--workers", str(most))
    assert "--workers" not in capsys.readouterr().err
