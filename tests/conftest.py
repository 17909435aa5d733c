"""What tests of every package share."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from experts import weights
from experts.spec import Weights

ROOT = Path(__file__).parents[1]

# No test depends on how long something takes, or on chance: every run tries the same examples. Others are tried by
# pytest --hypothesis-profile=explore
settings.register_profile("shoal", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile("shoal")

# Tests start hundreds of processes. Where Python may not keep what it compiles, each would compile everything again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Files that only a test sees lie in memory where there is room for them: thousands of entries in ledgers, each of them
# durable before it is answered, would wait for a disk.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4_000_000_000  # noqa: S108 (pytest makes a folder of its own in it)
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
    place = os.statvfs(MEMORY)
    if place.f_bavail * place.f_frsize > ROOM_BYTES and not place.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# As `shoal serve` does, before numpy is loaded: threads that wait for each other took most of the time of small fits.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def smollm() -> Weights:
    """What registry.yaml says of the weights of `chat`."""
    registry = yaml.safe_load((ROOT / "registry.yaml").read_text())
    chat = next(expert for expert in registry["experts"] if expert["id"] == "chat")
    return Weights.model_validate(chat["weights"])


@pytest.fixture(scope="session")
def smollm_weights(smollm: Weights) -> Path:
    """SmolLM2-135M-Instruct, fetched once and kept for later runs."""
    cache = Path(os.environ.get("SHOAL_TEST_CACHE", ROOT / ".shoal"))
    return asyncio.run(weights.fetch(smollm, cache, ROOT))
