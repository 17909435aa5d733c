from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from experts.policy import Policy
from experts.price import Price, PriceStep
from experts.spec import LabelsSpec, OpenAISpec
from experts.wire import Usage
from router.learn.fit import Fitted
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Attempt, Role, Status
from router.meter.tariff import Tariffs
from router.promises.budget import estimate
from router.promises.promises import Promises
from router.promises.usual import DAYS, FEWEST_ANSWERS, USUAL, Answers, Sums, Usual
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome
from tests.router.meter.traffic import START_US, add_up_all, fill_everything
from tests.router.promises.bench import evidence
from tests.router.promises.test_budget import TARIFFS
from tests.router.promises.test_evidence import THREE, judge_of
from tests.router.test_decide import REGISTRY

LATER = datetime.fromtimestamp(START_US / 1e6 + 3 * 86_400, UTC)


async def answered(path: Path, n: int, *attempts: Attempt, policy: str | None = "balanced") -> None:
    """So many requests with these attempts, of which the last answered when it went well."""
    ledger = Ledger.open(path)
    last = attempts[-1]

    async def one() -> None:
        begun = make_intent(policy=policy)
        await ledger.begin(begun)
        by = last.expert if last.status is Status.OK else None
        await ledger.finish(make_outcome(begun.request_id, attempts=list(attempts), answered_by=by))

    await asyncio.gather(*(one() for _ in range(n)))
    await ledger.aclose()


def read(path: Path) -> Answers:
    with closing(read_ledger(path)) as connection:
        return Answers.read(connection, datetime.now(UTC))


def some(expert: str, asked: int, answered: int, **changes: object) -> Attempt:
    return make_attempt(
        expert=expert, input_tokens=asked, output_tokens=answered, cached_tokens=2, cache_write_tokens=1, **changes
    )


async def test_answers_to_routed_requests_count_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await answered(path, 3, some("small", 10, 5))
    await answered(path, 2, some("small", 900, 0, status=Status.ERROR), some("big", 20, 40, role=Role.FALLBACK))
    await answered(path, 4, some("small", 7000, 7000), policy=None)
    await answered(path, 4, some("small", 7000, 7000, status=Status.ERROR))
    assert read(path).by_expert == {"small": Sums(3, 30, 15, 6, 3), "big": Sums(2, 40, 80, 4, 2)}


async def test_sums_of_hours_and_days_tell_what_rows_tell(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await fill_everything(path)
    told = []
    for _ in range(2):
        with closing(read_ledger(path)) as connection:
            told.append(Answers.read(connection, LATER))
        await add_up_all(path)
    assert told[0] == told[1]
    assert sum(sums.n for sums in told[0].by_expert.values()) > 100
    with closing(read_ledger(path)) as connection:
        assert not Answers.read(connection, LATER + timedelta(DAYS)).by_expert, "too long ago"


def test_too_few_answers_tell_what_all_do_and_none_are_a_guess_of_what_an_expert_may_write() -> None:
    most = {"small": 8, "big": 9}
    guess = Usual(most=most)
    assert (guess.thousand("small"), guess.thousand("other")) == (Usage(64_000, 8_000), Usage(64_000, 256_000))
    assert "are a guess until the ledger tells of 100 routed answers" in guess.told(["small"])
    few = Usual(Answers({"big": Sums(FEWEST_ANSWERS - 1, 1, 1, 1)}), most)
    assert few.thousand("small") == guess.thousand("small")
    known = Usual(Answers({"big": Sums(200, 4_000, 6_000, 200), "small": Sums(1, 5, 5, 0)}, "2026-11-27"), most)
    assert known.thousand("big") == Usage(20_000, 30_000, 1_000), "what a client asked for may be more"
    assert known.thousand("small") == Usage(19_925, 8_000, 995)
    assert known.told(["small", "big"]) == (
        "tokens asked and answered a request as by the routed answers in the ledger, in the 30 days to 2026-11-27: "
        "small 19.9 and 8.0 (1 of its own, so as all 201), big 20.0 and 30.0 (200 answers)"
    )


def test_answers_that_nobody_writes_tell_nothing_of_those_that_are_written() -> None:
    """A label is two tokens: by thousands of them a fallback that has answered little would seem to take nothing."""
    labels = LabelsSpec(id="triage", kind="labels", description="d", params_b=0, context=512, labels=Path("l.jsonl"))
    registry = REGISTRY.model_copy(update={"experts": (*REGISTRY.experts, labels)})
    told = {"triage": Sums(5_000, 100_000, 10_000, 0), "big": Sums(40, 800, 12_000, 0)}
    told["gone"] = Sums(80, 2_200, 8_400, 0)
    usual = Usual.of(Answers(told, "2026-11-27"), registry)
    assert usual.thousand("big") == Usage(25_000, 170_000), "as all 120 that were written"
    assert "big 25.0 and 170.0 (40 of its own, so as all 120)" in usual.told(["triage", "big"])
    few = Usual.of(Answers({"triage": told["triage"], "big": told["big"]}), registry)
    assert few.thousand("big") == Usage(64_000, 256_000)
    assert "are a guess" in few.told(["big"])


@pytest.mark.parametrize("aim", ["max_j_per_kreq", "max_usd_per_kreq"])
def test_a_budget_goes_by_the_tokens_of_the_ledger(aim: str) -> None:
    policy = Policy.model_validate({aim: 1e-9, "out_of_domain": 0})
    known = evidence(1000)
    guess = estimate("thrifty", policy, known, TARIFFS)
    # A sixteenth of 64 tokens asked and of 256 answered.
    names = (*known.experts, known.fallback)
    usual = Usual(Answers({name: Sums(FEWEST_ANSWERS, 400, 1600, 0) for name in names}))
    found = estimate("thrifty", policy, known, TARIFFS, usual)
    assert found.expected == pytest.approx(guess.expected / 16, rel=1e-3)
    assert "16.0 (100 answers)" in found.assumed
    assert "a guess" in guess.assumed


@pytest.mark.parametrize(("asked", "usd_per_mtok"), [(300, 9), (400, 9), (401, 18)])
def test_a_price_with_steps_is_that_of_the_mean_prompt_not_of_a_thousand(asked: int, usd_per_mtok: int) -> None:
    """A thousand usual prompts together are longer than any prompt that a step is about."""
    step = PriceStep(over_tokens=400, input_usd_per_mtok=18, output_usd_per_mtok=18)
    prices = [(spec, spec.price) for spec in REGISTRY.experts if isinstance(spec, OpenAISpec) and spec.price]
    dearer = [spec.model_copy(update={"price": price.model_copy(update={"steps": (step,)})}) for spec, price in prices]
    tariffs = Tariffs.of_registry(REGISTRY.model_copy(update={"experts": tuple(dearer)})).by_expert
    usual = Usual(Answers({"big": Sums(FEWEST_ANSWERS, FEWEST_ANSWERS * asked, FEWEST_ANSWERS * 100, 0)}))
    policy = Policy(max_usd_per_kreq=1e9, out_of_domain=0)
    found = estimate("thrifty", policy, evidence(1000), tariffs, usual)
    assert found.expected / found.fallback_share == pytest.approx((asked + 100) * usd_per_mtok / 1e3)


def promised(
    folder: Path, ledger: Path, last: Promises | None = None, *, data: str = "data", **how: bool
) -> tuple[float, Promises]:
    """What a budget is expected to take, of which nothing is saved."""
    registry = THREE.model_copy(update={"policies": {"thrifty": Policy(max_j_per_kreq=1e9)}})
    basis = registry, Fitted(judge_of(), data), "encoder", Tariffs.of_registry(registry), folder, last
    found = Promises.make(*basis, ledger=ledger, **how)
    return found.to_json()[0]["expected"], found


async def test_what_was_read_is_kept_for_all_workers_until_something_is_made_anew(tmp_path: Path) -> None:
    ledger, folder = tmp_path / "ledger.sqlite", tmp_path / "certificates"
    first = promised(folder, ledger)[0]
    assert not folder.joinpath(USUAL).exists(), "there is no ledger"
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 128, role=Role.FALLBACK))
    half, server = promised(folder, ledger)
    assert half < first
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 12, role=Role.FALLBACK))
    assert promised(folder, ledger, server)[0] == half, "an edit of the registry"
    assert promised(folder, ledger, keep=False)[0] == half, "a command beside the server"
    assert promised(folder, ledger, keep=False, data="other")[0] < half, "what it would be"
    assert promised(folder, ledger, server)[0] == half
    less = promised(folder, ledger, server, data="learnt")[0]
    assert less < half
    assert promised(folder, ledger, keep=False, data="learnt")[0] == less
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 12, role=Role.FALLBACK))
    again = promised(folder, ledger, server, data="learnt", anew=True)[0]
    assert again < less
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 12, role=Role.FALLBACK))
    assert promised(folder, ledger, data="learnt")[0] < again, "a start"


async def test_a_ledger_is_not_read_before_a_budget_needs_its_tokens(tmp_path: Path) -> None:
    """Reading it takes time, at a start and at each command, and most registries name no such budget."""
    ledger, folder = tmp_path / "ledger.sqlite", tmp_path / "certificates"
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 128, role=Role.FALLBACK))
    share = THREE.model_copy(update={"policies": {"thrifty": Policy(max_fallback_share=0.9)}})
    basis = share, Fitted(judge_of(), "data"), "encoder", Tariffs.of_registry(share), folder
    server = Promises.make(*basis, ledger=ledger)
    assert not folder.joinpath(USUAL).exists()
    half = promised(tmp_path / "other", ledger)[0]
    folder.mkdir(exist_ok=True)
    folder.joinpath(USUAL).write_text('{"data": "data", "until": "2026-01-01", "answers": {}}')
    assert promised(folder, ledger, server)[0] == half, "what an earlier server kept is not gone by"


async def test_a_folder_that_takes_nothing_is_told_and_the_figures_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, folder = tmp_path / "ledger.sqlite", tmp_path / "certificates"
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 128, role=Role.FALLBACK))
    half = promised(tmp_path / "other", ledger)[0]
    folder.touch()
    assert promised(folder, ledger)[0] == half
    told = "cannot be kept, so how many tokens requests take is read from the ledger again at the next start. "
    assert f"{told}{folder}" in caplog.text


@pytest.mark.parametrize(
    "damage", ["{", "a digit", '{"data": "data"}', '{"data": "data", "until": "", "answers": {"big": {"n": -1}}}',
               '{"data": "data", "until": "", "answers": {"big": 7}}'],
)  # fmt: skip
async def test_a_damaged_file_is_told_and_the_ledger_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    ledger, folder = tmp_path / "ledger.sqlite", tmp_path
    await answered(ledger, FEWEST_ANSWERS, some("big", 64, 128, role=Role.FALLBACK))
    before, server = promised(folder, ledger)
    kept = json.loads((folder / USUAL).read_text())
    (folder / USUAL).write_text(json.dumps(kept).replace('"n": 1', '"n": 9') if damage == "a digit" else damage)
    assert promised(folder, ledger, server)[0] == before
    assert "usual: is damaged: " in caplog.text
    assert json.loads((folder / USUAL).read_text()) == kept


def test_a_ledger_that_cannot_be_read_is_told_and_counts_as_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    guess = promised(tmp_path, ledger)[0]
    assert not caplog.text
    ledger.write_text("no database at all, and long enough to be read as the header of one" * 20)
    assert promised(tmp_path, ledger)[0] == guess
    assert "how many tokens requests take is not read from the ledger: " in caplog.text


def test_a_budget_expects_what_a_cache_takes() -> None:
    price = Price(input_usd_per_mtok=2, output_usd_per_mtok=0, cache_write_usd_per_mtok=4, source="x", as_of=None)
    dearer = [spec.model_copy(update={"price": price}) for spec in REGISTRY.experts if isinstance(spec, OpenAISpec)]
    tariffs = Tariffs.of_registry(REGISTRY.model_copy(update={"experts": tuple(dearer)})).by_expert
    policy = Policy(max_usd_per_kreq=1e9, out_of_domain=0)
    none, half = (
        estimate("thrifty", policy, evidence(1000), tariffs, Usual(Answers({"big": Sums(200, 80_000, 1, 0, written)})))
        for written in (0, 40_000)
    )
    assert half.expected == pytest.approx(1.5 * none.expected)


def test_what_was_kept_before_writes_were_counted_is_read() -> None:
    kept = {"until": "2026-11-27", "answers": {"big": {"n": 3, "asked": 30, "answered": 15, "cached": 6}}}
    assert Answers.of_json(kept).by_expert == {"big": Sums(3, 30, 15, 6, 0)}
