"""Ten conversations with OpenAI's official client for Node, run by Node itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Served
from tests.service.server import CACHE

HERE = Path(__file__).parent / "npm"
FILES = ("package.json", "package-lock.json", "conversations.mjs")


@pytest.fixture(scope="module")
def installed() -> Path:
    """A folder with the locked client, made once and kept beside the weights."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are missing, and in CI the Node client has to be tested")
        pytest.skip("node and npm are not installed")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:12]
    folder = CACHE / "npm" / digest
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / "openai").exists():
        command = ["npm", "ci", "--omit=optional", "--omit=peer", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


CONVERSATIONS = re.findall(r'^  async "(.*)"\(', (HERE / "conversations.mjs").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def told(installed: Path, served: Served) -> dict[str, Any]:
    """What Node said of each conversation."""
    command = ["node", "conversations.mjs", served.base_url]
    done = subprocess.run(command, cwd=installed, capture_output=True, text=True)
    found = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert list(found) == CONVERSATIONS, done.stderr
    return found


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_comes_to_its_end(told: dict[str, Any], name: str) -> None:
    assert told[name]["ok"], told[name]["error"]


def test_there_are_ten() -> None:
    assert len(CONVERSATIONS) >= 10
