"""What uses onnxruntime reports to nobody, and leaves nothing in the home folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ENCODER = "from pathlib import Path; from router.session import session; session(Path('router/encoder/model.onnx'))"
FIGURES = "from experts.factory.encoder_figures import machine; machine()"


@pytest.mark.parametrize("code", [ENCODER, FIGURES], ids=["router", "factory"])
def test_it_keeps_no_reports_of_its_use(tmp_path: Path, code: str) -> None:
    """Without being told not to, it writes an id and the reports that it sends below the home folder."""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    assert [path.name for path in tmp_path.rglob("*")] == []
