"""What was fitted comes back bit by bit, and only where it was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experts.errors import WeightsError
from experts.fitted import load_fitted, save_fitted

STATE = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "names": ["größe 🐟", "b,\"'\n"],
    "none": None,
    "part": {"rows": np.array([3, 1]), "deeper": {"flag": np.array([True])}, "number": 0.1},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "heads" / "thing.safetensors"
    save_fitted(path, "thing", STATE, encoder="e1", data="d1")
    return path


def test_everything_comes_back(path: Path) -> None:
    found = load_fitted(path, "thing", encoder="e1", data="d1")
    assert (found["weights"] == STATE["weights"]).all()
    assert found["names"] == STATE["names"]
    assert found["none"] is None
    assert found["part"]["rows"].tolist() == [3, 1]
    assert found["part"]["deeper"]["flag"].dtype == bool
    assert found["part"]["number"] == 0.1
    assert [each.name for each in path.parent.iterdir()] == ["thing.safetensors"]


@pytest.mark.parametrize(
    ("kind", "encoder", "data", "what"),
    [
        ("thing", "e2", "d1", "fitted on encoder 'e1', but 'e2' is in use"),
        ("thing", "e1", "d2", "fitted on data 'd1', but 'd2' is in use"),
        ("other", "e1", "d1", "fitted on format 'shoal-fitted-2/thing'"),
    ],
)
def test_what_was_fitted_on_anything_else_is_refused(path: Path, kind: str, encoder: str, data: str, what: str) -> None:
    with pytest.raises(WeightsError, match=f"{what}.*Remedy: restore the .*, or delete the file and fit again"):
        load_fitted(path, kind, encoder=encoder, data=data)


def test_what_is_no_fitted_thing_is_refused(path: Path) -> None:
    whole, tensors = path.read_bytes(), load_file(path)
    for broken in (b"", whole[:40], whole[:-4], b"\x80\x04."):
        path.write_bytes(broken)
        with pytest.raises(WeightsError, match=r"not a fitted thing .*Remedy: delete it"):
            load_fitted(path, "thing", encoder="e1", data="d1")
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="not a fitted thing"):
        load_fitted(path, "thing", encoder="e1", data="d1")
    path.unlink()
    with pytest.raises(WeightsError, match="not a fitted thing"):
        load_fitted(path, "thing", encoder="e1", data="d1")


def test_not_one_bit_of_it_may_flip(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        try:
            load_fitted(path, "thing", encoder="e1", data="d1")
        except WeightsError as error:
            assert str(path) in str(error)
            assert "Remedy: " in str(error)
        else:
            pytest.fail(f"byte {at} of {len(whole)} was changed and nobody noticed")
