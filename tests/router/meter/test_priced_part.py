"""What is told of all requests beside the part of which all money is known: the two do not contradict each other."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from router.meter.audit import audit
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Role
from router.meter.report import report
from router.meter.spans import rows_first
from router.meter.units import dollars
from router.meter.verified import savings
from tests.router.meter.test_paired import Book, big, book, printed, small, tariffs

__all__ = ["book"]

TOLD: dict[str, Any] = {"body": tariffs("chat", sql="list", chat="list"), "key_id": "mine"}


GUESS_NUSD = 54_321
"""What a small answer's tokens cost at the fallback's rate, in `make_outcome`."""


def priced(book: Book, pairs: int, singles: int, nusd: float, base_nusd: int = 0) -> None:
    """A domain of which all has a price; the fallback's answers cost so many nano-dollars a token of the small one."""
    rng = np.random.default_rng(3)
    for number in range(pairs + singles):
        tokens = int(rng.integers(40, 120))
        cheap = replace(small(tokens), cost_nusd=40, price_version="list")
        own_nusd = round((base_nusd + nusd * tokens) * rng.uniform(0.9, 1.1))
        dear = replace(big(tokens), cost_nusd=own_nusd, price_version="list")
        if number < pairs:
            book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **TOLD)
        else:
            book.add([cheap], arm=Arm.NORMAL, **TOLD)


def unpriced(book: Book, pairs: int, tokens: int, own_nusd: int) -> None:
    """A domain that an expert without a price answers, one of them alone."""
    cheap, dear = replace(small(tokens), expert="chat2"), replace(big(20), cost_nusd=own_nusd, price_version="list")
    for _ in range(pairs):
        book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **TOLD, label="other")
    book.add([cheap], arm=Arm.NORMAL, **TOLD, label="other")


@pytest.mark.parametrize(
    ("pairs", "nusd", "base_nusd", "left_out_nusd"), [(1, 700, 0, 2 * 14_000), (0, -700, 100_000, GUESS_NUSD)]
)
def test_all_requests_together_saved_no_less_than_a_part_and_what_is_known_of_the_rest(
    book: Book, pairs: int, nusd: int, base_nusd: int, left_out_nusd: int
) -> None:
    """One pair whose small answer is long and whose other one is short moves the estimate of all, not of the part.

    So does a small answer as none held back was.
    """
    priced(book, pairs=400, singles=800, nusd=nusd, base_nusd=base_nusd)
    unpriced(book, pairs=pairs, tokens=512, own_nusd=14_000)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
        assert savings(connection, divide=rows_first)["at_most"] == found.routed["at_most"]
        assert report(connection, None, None, own="mine").routed["at_most"] == found.routed["at_most"]
        assert [each for each in audit(connection).findings if "savings" in each.where] == []
    told = found.savings
    part, most, alone = told["priced_part"], told["at_most"], told["counterfactual"]
    assert (part["standing"], part["requests"], part["of"]) == ("published", 1200, 1201 + pairs)
    # Of one what the fallback was paid is known. The other is told by that one, or by its tokens.
    assert alone["cost_usd"] - part["counterfactual_usd"] == pytest.approx(left_out_nusd / 1e9)
    assert most["usd"] > part["cost_usd"]
    assert told["fallback_bill_avoided"]["usd"] - most["others_usd"] == pytest.approx(most["usd"])
    assert most["share"] == pytest.approx(most["usd"] / alone["cost_usd"])
    assert most["low"] < most["share"] < most["high"]
    assert f"At most {dollars(most['usd'] * 1e9)} was saved" in printed(found)


def test_what_is_measured_of_all_stands_where_it_contradicts_nothing(book: Book) -> None:
    """The domain without a price has pairs of its own, which say what its rest would have cost."""
    priced(book, pairs=400, singles=800, nusd=700)
    unpriced(book, pairs=60, tokens=120, own_nusd=200_000)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        told = savings(connection)
        again = book.segment().alone().total[0] / 1e9
    assert told["counterfactual"]["cost_usd"] == again
    assert told["at_most"]["usd"] > told["priced_part"]["cost_usd"] + 2 * GUESS_NUSD / 1e9


@pytest.mark.parametrize(("nusd", "told"), [(70, False), (900, True)])
def test_a_guess_about_a_part_is_not_told_against_what_is_measured_of_all(book: Book, nusd: int, told: bool) -> None:
    """Of the part too few were held back, of all together enough."""
    priced(book, pairs=60, singles=800, nusd=nusd)
    unpriced(book, pairs=60, tokens=80, own_nusd=GUESS_NUSD)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = report(connection, None, None)
    assert found.savings["low"] is not None
    assert (found.savings["priced_part"] is not None) is told
    assert ("saved on 860 of 921" in printed(found)) is told
