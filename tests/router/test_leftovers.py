"""What a killed Shoal left is gone after the next start, and nothing else."""

from __future__ import annotations

from pathlib import Path

from router.leftovers import clear_leftovers
from router.settings import Settings

LEFT = ("beside/.registry-a_b3xyz9.yaml", "beside/added/.passing-0123456789abcdef.jsonl",
        "beside/added/.draft-abcdefgh", "data/learned/.draft-abcdefgh", "data/heads/.draft-abcdefgh",
        "data/vectors/.draft-abcdefgh",
        "data/certificates/.draft-abcdefgh", "data/certificates/windows/.draft-abcdefgh")  # fmt: skip
OWN = ("beside/registry.yaml", "beside/.registry-of-mine.yaml", "beside/added/poet-0123.jsonl", "data/learned/lock",
       "data/learned/0001.safetensors", "data/certificates/safe.json")  # fmt: skip


def test_only_what_was_passing_is_cleared(tmp_path: Path) -> None:
    for name in (*LEFT, *OWN):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    clear_leftovers(Settings(registry=tmp_path / "beside/registry.yaml", data_dir=tmp_path / "data"))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(OWN)
