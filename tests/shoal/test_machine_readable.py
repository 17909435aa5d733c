from __future__ import annotations

import json
import math

import pytest

from shoal.machine_readable import echo_json


def test_what_does_not_exist_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"auroc": math.nan, "rows": [1, 0.5, math.inf], "name": "NaN", "pair": (math.nan, None)})
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert said == {"auroc": None, "rows": [1, 0.5, None], "name": "NaN", "pair": [None, None]}
