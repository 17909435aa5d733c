from __future__ import annotations

from eval.limited import run_limited
from eval.scorers.code import code_of, program

TESTS = ["assert twice(2) == 4", "assert twice(0) == 0"]


def passes(answer: str, tests: list[str] = TESTS, before: str = "") -> bool:
    return run_limited(program(answer, tests, before)).passed


def test_the_fenced_blocks_are_the_code() -> None:
    assert code_of("Here:\n```python\na = 1\n```\nand\n```\nb = 2\n```") == "a = 1\n\n\nb = 2\n"
    assert code_of("```py\ncut off") == "cut off"
    assert code_of("a = 1") == "a = 1"


def test_code_passes_when_its_tests_do() -> None:
    assert passes("```python\ndef twice(x):\n    return 2 * x\n```")
    assert not passes("def twice(x):\n    return x * x + 1")
    assert not passes("I cannot do that.")


def test_a_body_goes_on_where_the_question_ends() -> None:
    head = 'from typing import List\n\n\ndef twice(x: int) -> int:\n    """Two times x."""\n'
    assert passes("    return 2 * x\n", before=head)
    assert passes("def twice(x):\n    return 2 * x", before=head)
    assert passes("def twice(x: List) -> int:\n    return 2 * x", before=head)
    assert not passes("    return x\n", before=head)


def test_leaving_before_the_tests_is_no_pass() -> None:
    for early in ("import sys\nsys.exit(0)", "import os\nos._exit(0)", "raise SystemExit"):
        assert not passes(f"def twice(x):\n    return 0\n{early}")
