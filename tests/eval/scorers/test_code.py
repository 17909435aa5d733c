from __future__ import annotations

import pytest

from eval.limited import run_limited
from eval.scorers.code import code_of, exam

TESTS = ["assert twice(2) == 4", "assert twice(0) == 0"]


def passes(answer: str, tests: list[str] = TESTS, before: str = "") -> bool:
    return run_limited(exam(answer, tests, before)).passed


def test_the_fenced_blocks_are_the_code() -> None:
    assert code_of("Here:\n```python\na = 1\n```\nand\n```Py\nb = 2\n```") == "a = 1\n\n\nb = 2\n"
    assert code_of("Here:\n```\na = 1\n```\nand\n```\nb = 2\n```") == "a = 1\n\n\nb = 2\n"
    assert code_of("```python\na = 1\n```\nThe file:\n```\nb = c\n```") == "a = 1\n"
    assert code_of("```py\ncut off") == "cut off"
    assert code_of("a = 1") == "a = 1"


DEF = "def twice(x):\n    return 2 * x\n"
NOTED = 'def twice(x):\n    """Like this:\n    ```\n    twice(1)\n    ```\n    """\n    return 2 * x\n'


@pytest.mark.parametrize(
    "answer",
    [
        f"```bash\npip install x\n```\n```python\n{DEF}```",
        f"```js\nlet a = 1\n```\n```\n{DEF}```",
        f"```python\n{DEF}```\nOutput:\n```\nHello world\n```",
        f"```\n{DEF}```\nOutput:\n```\nHello\n```",
        f"```python\n{DEF}```\nUsage:\n```python\n>>> twice(2)\n4\n```",
        f"```python\n{DEF}```".replace("\n", "\r\n"),
        "1. Write:\n\n   ```python\n   def twice(x):\n       return 2 * x\n   ```\n",
        "1. ```python\n   def twice(x):\n       return 2 * x\n   ```\n",
        "Write: ```python\n   def twice(x):\n       return 2 * x\n   ```\n",
        f"~~~python\n{DEF}~~~",
        f"````{{.python}}\n{DEF}# ```\n````",
        f'```python title="twice.py"\n{DEF}```',
        f"So: ```\n{DEF.strip()}```",
        f"```python\n{NOTED}```",
        NOTED,
        f"```python\nP = '\\d'\n{DEF}```",  # an escape that Python warns of
    ],
)
def test_a_right_program_passes_whatever_stands_around_it(answer: str) -> None:
    assert passes(answer)


def test_of_blocks_that_are_no_code_one_is_told_what_is_wrong() -> None:
    assert code_of("```python\ndef twice(\n```\n```sh\nls\n```") == "def twice(\n"
    assert code_of("```sh\nls\n```") == ""
    assert code_of("Use ```twice``` here") == "Use ```twice``` here"


def test_code_passes_when_its_tests_do() -> None:
    assert passes("```python\ndef twice(x):\n    return 2 * x\n```")
    assert not passes("def twice(x):\n    return x * x + 1")
    assert not passes("I cannot do that.")


def test_a_body_goes_on_where_the_question_ends() -> None:
    head = 'from typing import List\n\n\ndef twice(x: int) -> int:\n    """Two times x."""\n'
    assert passes("    return 2 * x\n", before=head)
    assert passes("```\n    return 2 * x\n```", before=head)
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
