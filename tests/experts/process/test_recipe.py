from __future__ import annotations

import pytest

from experts.process.recipe import Recipe

NEEDED = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C.UTF-8", "TMPDIR": "/t", "LD_LIBRARY_PATH": "/l", "TZ": "UTC"}


def environment(**ours: str) -> dict[str, str]:
    return Recipe(lambda address: [], {"PYTHONPATH": "/code"}).environment(ours)


def test_a_child_gets_what_it_needs() -> None:
    assert environment(**NEEDED) == {**NEEDED, "PYTHONPATH": "/code"}


@pytest.mark.parametrize(
    "name",
    [
        "SHOAL_API_KEYS",
        "SHOAL_ADMIN_KEY",
        "SHOAL_DATA_DIR",
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
        "LC_SECRET",
        "DYLD_TOKEN",
        "PATH_TO_KEY",
        "XPATH",
        "HTTP_PROXY",
    ],
)
def test_a_child_gets_nothing_else(name: str) -> None:
    assert environment(**{name: "canary"}) == {"PYTHONPATH": "/code"}
