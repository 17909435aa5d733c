"""Which path an answer is counted under: known ones only, whatever is asked for."""

from __future__ import annotations

import re

import pytest

from experts.own_labels import OTHER
from router.api.operations import OPERATIONS
from router.tally import Tally

PATHS = ["/v1/models", "/v1/models/{model}", "/v1/responses/{id}", "/v1/responses/{id}/cancel", "/web/{file}"]


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/", OTHER),
        ("/v1/models/poet", "/v1/models/{model}"),
        ("/v1/models/org/poet", "/v1/models/{model}"),
        ("/v1/responses/a", "/v1/responses/{id}"),
        ("/v1/responses/a/cancel", "/v1/responses/{id}/cancel"),
        ("/web/page.js", "/web/{file}"),
        ("/V1/models", OTHER),
        ("", OTHER),
        ("/v1/models/{model}", "/v1/models/{model}"),
    ],
)
def test_a_path_is_counted_under_the_known_one(path: str, surface: str) -> None:
    assert Tally(PATHS).surface(path) == surface


def test_every_documented_path_is_counted_as_itself() -> None:
    tally = Tally(operation.path for operation in OPERATIONS)
    for operation in OPERATIONS:
        assert tally.surface(re.sub(r"\{\w+\}", "any", operation.path)) == operation.path


def test_counts_are_by_surface_and_status() -> None:
    tally = Tally(PATHS)
    for number in range(1000):
        tally.count(f"/made/up/{number}", 404)
        tally.count(f"/v1/models/{number}", 200 if number % 2 else 404)
    assert tally.counts() == [
        (OTHER, "404", 1000),
        ("/v1/models/{model}", "404", 500),
        ("/v1/models/{model}", "200", 500),
    ]
