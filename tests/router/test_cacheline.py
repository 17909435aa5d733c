from __future__ import annotations

import numpy as np
import pytest

from router.cacheline import LINE, stacked


@pytest.mark.parametrize("rows", [(1,), (3, 1), (0, 2), (1000, 25)])
def test_rows_stand_one_under_the_other_where_a_line_begins(rows: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(count, 7)).astype(np.float32) for count in rows]
    found = stacked(parts)
    assert found.ctypes.data % LINE == 0
    assert found.flags.c_contiguous and found.flags.writeable
    assert np.array_equal(found, np.vstack(parts))
    assert found.dtype == np.float32
