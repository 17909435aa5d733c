from __future__ import annotations

from eval.limited import run_limited
from eval.scorers.code import code_of, exam

TESTS = ["assert twice(2) == 4", "assert twice(0) == 0"]


def passes(answer: str, tests: list[str] = TESTS, before: str = "") -> bool:
    return run_limited(exam(answer, tests, before)).passed


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


def test_the_tests_rest_on_what_the_question_gives() -> None:
    """The answer may write what stands before it again; the tests go by the question's."""
    head = "def shifted(s):\n    return s[1:] + s[:1]\n\n\ndef back(s):\n    'Undo shifted.'\n"
    tests = ["def check(candidate):", "    assert candidate(shifted('abc')) == 'abc'", "check(back)"]
    assert passes("    return s[-1:] + s[:-1]", tests, head)
    assert not passes("def shifted(s):\n    return s\n\n\ndef back(s):\n    return s", tests, head)


def test_a_function_may_bear_a_name_of_pythons_own() -> None:
    adds = "def sum(a, b):\n    return a + b"
    assert passes(adds, ["assert sum(3, 4) == 7"])
    assert passes(adds, ["assert {sum(3, 4)} == set([7])"])
    everything = "def len(x):\n    return 3\ndef twice(x):\n    return [x]"
    assert not passes(everything, ["assert len(twice(4)) == 3"])


def test_tests_that_are_no_python_are_passed_by_nothing() -> None:
    assert exam("x = 1", "assert (", "def f(:").given == ""
    assert not passes("x = 1", ["assert ("])
