from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.energy_table import Row, fit, left_out, read_rows, shipped, terms
from experts.errors import ShoalError
from router.meter.coefficients import FITS, Size

ROOT = Path(__file__).parents[2]
TRUE = np.array([FITS["h100"].per_gb, FITS["h100"].per_params_b, FITS["h100"].constant])

MODELS = [
    ("a8", 8, None, 16), ("b14", 14, None, 16), ("c32", 32, None, 16), ("d70", 70, None, 16), ("e405", 405, None, 8),
    ("f30moe", 3.3, 30.5, 16), ("g235moe", 22, 235, 8), ("h7", 7.2, None, 8),
]  # fmt: skip


def measured(spread: float, seed: int = 0) -> list[Row]:
    """Rows the formula itself gives, with lognormal noise of a spread that is partly the model's own."""
    draw = np.random.default_rng(seed)
    rows = []
    for name, params_b, total, bits in MODELS:
        own = np.exp(spread * 0.7 * draw.standard_normal())
        for batch in (8, 16, 32, 64, 128, 256):
            size = Size(params_b, total, bits, batch)
            joules = float(terms([Row(name, size, 1.0)])[0] @ TRUE)
            rows.append(Row(name, size, joules * own * float(np.exp(spread * 0.7 * draw.standard_normal()))))
    return rows


def written(path: Path, rows: list[Row]) -> Path:
    """As our own CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "params_b", "total_params_b", "weight_bits", "batch", "output_j_per_token"])
        for row in rows:
            size = row.size
            told = [row.model, size.params_b, size.total_params_b or "", size.bits, size.batch, row.joules]
            writer.writerow(told)
    return path


def test_the_fit_finds_the_coefficients_that_made_the_rows() -> None:
    assert fit(measured(0.0)) == pytest.approx(TRUE, rel=1e-6)
    assert left_out(measured(0.0)).median < 1e-9


def test_noise_like_the_benchmarks_passes_the_check() -> None:
    rows = measured(0.22)
    found = left_out(rows)
    assert found.passed
    assert found.median > 0.05
    assert shipped(rows, "h100").median <= found.median + 0.05


def test_rows_that_follow_no_formula_fail_it() -> None:
    draw = np.random.default_rng(1)
    rows = [Row(row.model, row.size, float(np.exp(draw.normal(0, 2)))) for row in measured(0.0)]
    assert not left_out(rows).passed


def test_no_coefficient_is_below_zero() -> None:
    draw = np.random.default_rng(2)
    rows = [Row(row.model, row.size, float(np.exp(draw.normal(0, 2)))) for row in measured(0.0)]
    assert (fit(rows) >= 0).all()


def test_every_shape_of_file_says_the_same(tmp_path: Path) -> None:
    rows = measured(0.2)
    own = written(tmp_path / "own.csv", rows)
    lines = tmp_path / "own.jsonl"
    lines.write_text("".join(json.dumps(told) + "\n" for told in csv.DictReader(own.read_text().splitlines())))
    board = tmp_path / "lm-arena-chat.json"
    precision = {16: "bfloat16", 8: "fp8"}
    board.write_text(
        json.dumps(
            {
                "task": "lm-arena-chat",
                "configurations": [
                    {
                        "model_id": row.model, "activated_params_billions": row.size.params_b,
                        "total_params_billions": row.size.all_params_b,
                        "weight_precision": precision[int(row.size.bits)],
                        "avg_batch_size": row.size.batch, "energy_per_token_joules": row.joules, "gpu_model": gpu,
                    }
                    for row in rows
                    for gpu in ("H100", "B200")
                ],
            }
        )
    )  # fmt: skip
    found = [read_rows(path, "h100") for path in (own, lines, board)]
    assert [len(each) for each in found] == [len(rows)] * 3
    whole = [[(row.model, row.size.touched_gb(), row.size.batch, row.joules) for row in each] for each in found]
    assert whole[0] == whole[1] == whole[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model,params_b,batch\na,8,8\n", "rows.csv:2: no column 'output_j_per_token'"),
        (
            "model,params_b,batch,output_j_per_token\na,8,8,0\n",
            "rows.csv:2: output_j_per_token is '0', no number above 0",
        ),
        ("model,params_b,batch,output_j_per_token\na,8,8,1\na,8,8,nan\n", "rows.csv:3: output_j_per_token is 'nan'"),
        ("model,params_b,batch,output_j_per_token\na,8,8,inf\n", "rows.csv:2: output_j_per_token is 'inf'"),
        ("model,params_b,batch,output_j_per_token\na,8,8\n", "rows.csv:2: output_j_per_token is None"),
        ("model,params_b,batch,output_j_per_token\na,eight,8,1\n", "rows.csv:2: params_b is 'eight', no number"),
        ("model,params_b,batch,output_j_per_token\na,8,0,1\n", "rows.csv:2: batch is '0', no number above 0"),
        ('model,params_b,batch,output_j_per_token\na,8,8,"0,5"\n', "rows.csv:2: output_j_per_token is '0,5'"),
        ("model,params_b,batch,output_j_per_token,weight_bits\na,8,8,1,fp8\n", "rows.csv:2: weight_bits is 'fp8'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ShoalError, match=re.escape(told)):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.json", "[1, 2]", "rows.json: cannot be read: it has no list `configurations`"),
        ("rows.json", "{", "rows.json: cannot be read: "),
        ("rows.json", '{"configurations": [{"model_id": "a"}]}', "rows.json, configuration 0: no column 'params_b'"),
        (
            "rows.json",
            '{"configurations": [{"activated_params_billions": 8, "weight_precision": "nf4"}]}',
            "rows.json, configuration 0: weight_bits is 'nf4', no number",
        ),
        ("rows.jsonl", '{"model": "a", "params_b": 8}\n', "rows.jsonl:1: no column 'batch'"),
        ("rows.jsonl", "{\n", "rows.jsonl: cannot be read: "),
    ],
)
def test_other_files_say_it_too(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ShoalError, match=re.escape(told)):
        read_rows(path)


@pytest.mark.parametrize(("times", "told"), [(1 / 3600, "above"), (1000, "below")])
def test_another_unit_is_asked_about(tmp_path: Path, times: float, told: str) -> None:
    """The fit has no unit, so it passes; the shipped table tells."""
    rows = [Row(row.model, row.size, row.joules * times) for row in measured(0.05)]
    path = written(tmp_path / "own.csv", rows)
    command = [sys.executable, "-m", "eval.energy_table", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    asked = f"The shipped table is ([0-9,]+) times {told} these rows: are they in joules a token"
    found = re.search(asked, done.stderr)
    assert found
    assert float(found[1].replace(",", "")) == pytest.approx(max(times, 1 / times), rel=0.1)


def test_two_models_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(ShoalError, match="too few"):
        left_out([row for row in measured(0.1) if row.model in ("a8", "d70")])


def test_the_command_says_in_a_line_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    done = subprocess.run([sys.executable, "-m", "eval.energy_table", str(path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Remedy" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_says_it_and_its_exit_code_too(tmp_path: Path) -> None:
    path = written(tmp_path / "own.csv", measured(0.2))
    command = [sys.executable, "-m", "eval.energy_table", str(path), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["models"] == 8
    assert told["left_out"]["median_error"] == pytest.approx(left_out(measured(0.2)).median)


def test_files_that_allow_no_check_are_one_line_with_a_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "two.csv", [row for row in measured(0.1) if row.model in ("a8", "d70")])
    command = [sys.executable, "-m", "eval.energy_table", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "Remedy: give rows of four or more models" in done.stderr


def test_the_rows_of_a_real_card_are_checked_as_the_record_says() -> None:
    """docs/adr/0050: decoding alone, on another card than the table's, so neither check passes."""
    rows = read_rows(ROOT / "eval/data/energy-h200.jsonl")
    assert (len(rows), len({row.model for row in rows})) == (18, 5)
    for check, median, within_two in ((shipped(rows, "h100"), 0.67, 0.61), (left_out(rows), 0.18, 0.83)):
        assert check.median == pytest.approx(median, abs=0.005)
        assert check.within_two == pytest.approx(within_two, abs=0.005)
        assert not check.passed
