"""The backup that docs/operating.md tells of, made while the server answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.service.server import PATIENCE_S, ROOT, Server, write_registry

POEM = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}


def test_the_lines_of_the_document_make_a_whole_copy_of_a_serving_ledger(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path))
    assert server.shoal("keys", "create", "finance", "--figures").returncode == 0
    assert [server.post("/v1/chat/completions", POEM)[0] for _ in range(3)] == [200] * 3
    (lines,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/operating.md").read_text(), re.S)
    data, backup = server.folder / "data", tmp_path / "backup"
    env = {"PATH": os.environ["PATH"], "SHOAL_DATA_DIR": str(data), "BACKUP": str(backup)}
    made = subprocess.run(
        ["/bin/sh", "-euc", lines.replace(".venv/bin/python", sys.executable)],
        env=env, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    names = {"holdback.key", "keys.sqlite", "ledger.sqlite"}
    assert {path.name for path in backup.iterdir()} >= names
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}

    copied = server.shoal("meter", "audit", SHOAL_DATA_DIR=str(backup))
    assert copied.returncode == 0, copied.stdout + copied.stderr
    assert "3 requests" in copied.stdout
    assert "finance" in server.shoal("keys", "list", SHOAL_DATA_DIR=str(backup)).stdout
    restored = Server(tmp_path / "restored", server.registry)
    restored.folder.mkdir()
    backup.rename(restored.folder / "data")
    restored.start()
    assert restored.totals()["by_status"] == {"ok": 3}
    assert restored.stop() in (0, -15)
