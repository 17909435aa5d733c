"""The packages that training needs and serving does not."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from experts.errors import ShoalError
from experts.extras import install

PACKAGES: Final = ("torch", "sentence_transformers", "onnx")


class TrainingUnavailable(ShoalError):
    """What training needs is not installed; the message has the remedy."""


def require_packages() -> None:
    """Raises TrainingUnavailable where one of them is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        needs = " and ".join([*filter(None, [", ".join(missing[:-1])]), missing[-1]])
        raise TrainingUnavailable(f"training needs {needs}, which serving does not. Remedy: {install('train')}")
