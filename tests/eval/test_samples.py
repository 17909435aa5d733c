"""Evaluation files as people make them: what is read all the same, and what is wrong with the others."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.answers.questions import read_questions
from eval.matrix import read_matrix
from eval.requests import read_requests
from eval.samples import NotInFile, SamplesError, read_labelled
from shoal.evaluate import app

ROOT = Path(__file__).resolve().parents[2]
ROW = {"input": "Will it rain?", "label": "weather", "split": "train"}
LINE = json.dumps(ROW).encode()
ONE = {"score": 1, "usd": 1}


def written(tmp_path: Path, content: bytes, name: str = "f.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content", [LINE, b"\xef\xbb\xbf" + LINE + b"\r\n", b"\n\n" + LINE + b"\n  \n"], ids=["cut", "windows", "blank"]
)
def test_how_lines_end_and_a_file_begins_does_not_matter(tmp_path: Path, content: bytes) -> None:
    assert [row.input for row in read_labelled(written(tmp_path, content))] == [ROW["input"]]
    for name in ("f.jsonl.gz", "zipped-under-another-name.jsonl"):
        assert len(read_labelled(written(tmp_path, gzip.compress(content), name))) == 1


def test_the_rows_that_the_page_shows_are_read(tmp_path: Path) -> None:
    shown = (ROOT / "docs/evaluation.md").read_text().partition("```json\n")[2]
    labelled, outcome, question, request = (
        written(tmp_path, line.encode(), f"{at}.jsonl")
        for at, line in enumerate(shown.partition("```")[0].splitlines())
    )
    assert read_labelled(labelled)[0].label == "weather"
    assert read_matrix(outcome, "cost_usd").models == ("small", "big")
    assert read_questions(question)[0][0].target == "12"
    assert read_requests(request)[0].split == "validation", "it is what is asked where --split is not named"


@pytest.mark.parametrize("at", [1, 3])
def test_the_page_says_from_how_many_rows_on_a_command_runs(tmp_path: Path, at: int) -> None:
    shown = (ROOT / "docs/evaluation.md").read_text().partition("```json\n")[2]
    file = written(tmp_path, shown.splitlines()[at].encode())
    registry = ["--registry", str(ROOT / "registry.yaml")]
    if at == 3:
        asked = CliRunner().invoke(app, ["requests", str(file), "--json", *registry])
        assert (asked.exit_code, json.loads(asked.output)["n"]) == (0, 1)
        return
    wanted = ["outcomes", str(file), "--fallback", "big", "--objective", "cost_usd", "--json", *registry]
    with pytest.raises(SamplesError, match=r"1 different request is too few .*5 different requests or more"):
        CliRunner().invoke(app, wanted, catch_exceptions=False)
    texts = ("Will it rain?", "2 + 2?", "Who painted this?", "Where is my parcel?", "How do bees dance?")
    line = json.loads(file.read_bytes())
    file.write_text("".join(json.dumps(line | {"input": text}) + "\n" for text in texts))
    assert json.loads(CliRunner().invoke(app, wanted).output)["rows"] == len(texts)


def damaged() -> bytes:
    """A gzip file with one wrong byte in what it holds."""
    content = bytearray(gzip.compress(b"".join(b"%d %s\n" % (at, LINE) for at in range(99))))
    content[60] ^= 255
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "f.jsonl",
            LINE + b'\n{"input": "caf\xe9"}',
            r"f\.jsonl:2: no JSON .*Remedy: one JSON object a line, in UTF-8",
        ),
        ("f.jsonl", LINE.decode().encode("utf-16"), r"f\.jsonl:1: no JSON .*in UTF-8"),
        ("f.jsonl", b'{"input": NaN}', r"f\.jsonl:1: no JSON"),
        ("f.jsonl", b"[" * 9999 + b"]" * 9999, r"f\.jsonl:1: no JSON"),
        ("f.jsonl", b"[1]", r"f\.jsonl:1: not an object. Remedy"),
        (
            "f.jsonl",
            LINE + b'\n{"input": "a", "outcomes": {"m": {"score": 1}, "m": {"score": 0}}}',
            r"f\.jsonl:2: the key 'm' is given twice in one object\. Remedy: give every key of an object once",
        ),
        ("f.jsonl", b'{"input": 3}', r"f\.jsonl:1: 'input' must be a text. Remedy"),
        ("f.jsonl", b'{"input": "a", "label": 3}', r"f\.jsonl:1: 'label' must be a text. Remedy: null"),
        ("f.jsonl", b'{"input": "a", "label": " "}', r"f\.jsonl:1: 'label' is blank\. Remedy: null"),
        ("f.jsonl", b'{"input": "a", "split": "dev"}', r"f\.jsonl:1: split 'dev' is not known. Remedy: one of train"),
        (
            "f.jsonl",
            LINE + b'\n{"input": "a", "lable": "weather", "split": "train"}',
            r"f\.jsonl:2: has no 'label'\. Remedy: name its domain, or null",
        ),
        (
            "f.jsonl",
            LINE + b'\n{"input": "a", "label": null}',
            r"f\.jsonl:2: some rows have a 'split' and some have none; this one lacks it\. Remedy: one of train",
        ),
        (
            "f.jsonl",
            b'{"input": "a", "label": null}\n' + LINE,
            r"f\.jsonl:2: some rows have a 'split' and some have none; this one has it\. Remedy",
        ),
        ("f.jsonl.gz", LINE, r"f\.jsonl\.gz: cannot be read \(Not a gzipped file.*Remedy"),
        ("f.jsonl.gz", gzip.compress(LINE)[:-9], r"f\.jsonl\.gz: cannot be read .*must be whole"),
        ("f.jsonl.gz", damaged(), r"f\.jsonl\.gz: cannot be read .*must be whole"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_line(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    with pytest.raises(SamplesError, match=problem):
        read_labelled(written(tmp_path, content, name))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match=r"cannot be read \(Is a directory\)\. Remedy: check the path"):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    ("outcomes", "problem"),
    [
        ({}, r"f\.jsonl:2: 'outcomes' must name at least one model. Remedy"),
        ({"big": 1}, r"f\.jsonl:2: model 'big': not an object. Remedy"),
        ({"big": {"score": 2, "usd": 1}}, "score 2 is not usable. Remedy: a number from 0 to 1"),
        ({"big": {"score": True, "usd": 1}}, "score True is not usable"),
        ({"big": {"score": None, "usd": 1}}, "a number from 0 to 1, or leave out a model that was not asked"),
        (
            {"big": {"score": math.nan, "usd": 1}},
            r"f\.jsonl:2: no JSON \(it has no NaN or Infinity, as at column 4\d\)",
        ),
        ({"big": {"score": "1", "usd": 1}}, "score '1' is not usable"),
        ({"big": {"score": 1, "joules": 1}}, "'usd' is None, no cost. Remedy: --objective one of joules"),
        ({"big": {"score": 1}}, "'usd' is None, no cost. Remedy: give every outcome a cost, 0 or more"),
        ({"big": {"score": 1, "usd": 1e308}}, r"'usd' is 1e\+308, no cost. Remedy: .* and at most 1e\+100"),
        ({"big": {"score": 1, "usd": -1}}, "'usd' is -1, no cost. Remedy: give every outcome a cost"),
    ],
)
def test_an_outcome_that_cannot_be_used_is_named(tmp_path: Path, outcomes: object, problem: str) -> None:
    lines = [{"input": "a", "outcomes": {"big": ONE}}, {"input": "b", "outcomes": outcomes}]
    with pytest.raises(SamplesError, match=problem):
        read_matrix(written(tmp_path, "\n".join(map(json.dumps, lines)).encode()), "usd")


def test_a_score_is_no_cost(tmp_path: Path) -> None:
    """It was saved as if it were one, in a table like any other."""
    path = written(tmp_path, json.dumps({"input": "a", "outcomes": {"big": ONE}}).encode())
    with pytest.raises(
        NotInFile, match=r"f\.jsonl: 'score' is the quality, no cost\. Remedy: --objective KEY of a cost"
    ):
        read_matrix(path, "score")


def test_rows_that_each_tell_of_a_model_are_one_and_the_first_that_tells_of_it_counts(tmp_path: Path) -> None:
    told = [("q", {"big": ONE}), ("q", {"small": ONE}), ("q", {"big": {"score": 0, "usd": 9}}), ("r", {"small": ONE})]
    lines = [{"input": text, "outcomes": outcomes} for text, outcomes in told]
    found = read_matrix(written(tmp_path, "\n".join(map(json.dumps, lines)).encode()), "usd")
    assert (found.inputs, found.dropped, set(found.models)) == (("q", "r"), 2, {"big", "small"})
    assert found.scores[0].tolist() == [1, 1]
    assert found.costs[:, found.models.index("big")].tolist()[0] == ONE["usd"]
    assert np.isnan(found.scores[1, found.models.index("big")])


def test_an_outcome_that_differs_in_blanks_at_its_end_is_a_repeat(tmp_path: Path) -> None:
    """It counted twice, once for each way in which its text was copied."""
    told = [("q ", {"big": ONE}), ("q", {"small": ONE}), ("q\n", {"big": ONE}), (" q", {"big": ONE})]
    lines = [{"input": text, "outcomes": outcomes} for text, outcomes in told]
    found = read_matrix(written(tmp_path, "\n".join(map(json.dumps, lines)).encode()), "usd")
    assert (found.inputs, found.dropped) == (("q ", " q"), 2)


def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], *words: str) -> str:
    """What a command says to a file that it can read and not use."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    path = written(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    done = CliRunner().invoke(app, [words[0], str(path), *words[1:]])
    assert isinstance(done.exception, SamplesError), done.output
    return str(done.exception).removeprefix(str(path))


def test_what_cannot_be_fitted_or_scored_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = [{**ROW}, {**ROW, "input": "Bake a cake", "label": "cooking"}, {**ROW, "label": None, "split": "test"}]
    said = refused(tmp_path, monkeypatch, labelled, "labels")  # type: ignore[arg-type]
    assert said == ": needs train rows of two labels, and test rows with a label. Remedy: set 'split' in the rows"
    one = [labelled[0], {**labelled[0], "input": "Is it wet?"}, {**labelled[0], "input": "Snow?", "split": "test"}]
    said = refused(tmp_path, monkeypatch, one, "labels")  # type: ignore[arg-type]
    assert said.endswith("Remedy: rows of train with another label too; the 2 that there are all have 'weather'")
    assert refused(tmp_path, monkeypatch, [], "labels") == ": holds no rows. Remedy: one JSON object a line"
    both = [*labelled[:2], *({**row, "split": "test"} for row in labelled[:2])]
    said = refused(tmp_path, monkeypatch, both, "labels")
    assert said.endswith("Remedy: rows of train that no other split has; 2 are in train and elsewhere, and left out")
    never_both = [
        {"input": f"{at} {'plus' if at % 2 else 'in French'}", "outcomes": {("big", "small")[at % 2]: ONE}}
        for at in range(12)
    ]
    asked = ("outcomes", "--fallback", "big", "--objective", "usd", "--folds", "2")
    said = refused(tmp_path, monkeypatch, never_both, *asked)  # type: ignore[arg-type]
    assert said.startswith(": no row to be scored tells how every model answered. Remedy: give the outcomes of all 2")
