from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experts.policy import Policy
from router.learn.fit import Fitted
from router.meter.tariff import Tariffs
from router.promises.budget import LEAST
from router.promises.drift import STEP, WINDOW
from router.promises.promises import Promise, Promises
from router.rule import Rule
from tests.router.promises.test_evidence import THREE, judge_of, outcomes_of


@pytest.mark.parametrize(("paired", "source"), [(4, "examples"), (LEAST - 1, "examples"), (LEAST, "outcomes")])
def test_a_few_outcomes_overturn_no_budget(paired: int, source: str) -> None:
    registry = THREE.model_copy(update={"policies": {"thrifty": Policy(max_fallback_share=0.9)}})
    told = outcomes_of(400)
    rows = np.flatnonzero(~np.isnan(told.scores[:, 1]))[:paired]
    judge = judge_of(told.take(rows))
    found = Promises.make(registry, Fitted(judge, "data"), "encoder", Tariffs.of_registry(registry), None).to_json()[0]
    assert found["source"] == source
    assert found["n"] >= (LEAST if source == "outcomes" else 80)
    assert found["low"] <= found["expected"] <= found["high"]


def test_blame_counts_in_a_risk_and_not_in_the_mix_of_a_budget() -> None:
    registry = THREE.model_copy(update={"policies": {"thrifty": THRIFTY, "safe": Policy(max_risk=0.5)}})
    fitted = Fitted(judge_of(outcomes_of(400)), "data")
    promises = Promises.make(registry, fitted, "encoder", Tariffs.of_registry(registry), None)
    assert {name: (each["source"], each["n"]) for name, each in told(promises).items()} == {
        "thrifty": ("outcomes", 300),
        "safe": ("outcomes", 300 + 49),
    }
    one, other = (promises.promise(name) for name in ("thrifty", "safe"))
    assert one and other and one.drift and other.drift
    assert one.drift.reference.limit_ != other.drift.reference.limit_, "each is compared with what it counts"


SAFE, THRIFTY = Policy(max_risk=0.1), Policy(max_fallback_share=0.9)
USUAL = np.tile(np.stack([judge_of().known()[0][at] for at in range(80)]), (4, 1))
STRANGE = np.tile(np.eye(24, dtype=np.float32)[5], (WINDOW, 1))


def promised(
    folder: Path | None, last: Promises | None = None, keep: bool = True, encoder: str = "encoder", **policies: Policy
) -> Promises:
    registry = THREE.model_copy(update={"policies": policies})
    basis = registry, Fitted(judge_of(), "data"), encoder, Tariffs.of_registry(registry), folder, last
    return Promises.make(*basis, keep=keep)


def arrive(promises: Promises, policy: str, vectors: np.ndarray) -> None:
    for vector in vectors:
        promises.saw(policy, vector)


def told(promises: Promises) -> dict[str, dict[str, Any]]:
    return {each["policy"]: each for each in promises.to_json()}


def test_a_refusal_for_drift_outlives_a_restart_and_another_name_for_a_while(tmp_path: Path) -> None:
    first = promised(tmp_path, safe=SAFE)
    assert told(first)["safe"]["state"] == "valid"
    arrive(first, "safe", STRANGE)
    assert told(first)["safe"]["state"] == "refused"
    second = promised(tmp_path, safe=SAFE)
    assert told(second) == told(first)
    assert second.rule("safe").threshold is None
    renamed = promised(tmp_path, second, safer=SAFE)
    back = promised(tmp_path, renamed, safe=SAFE)
    assert told(back) == told(first)
    arrive(back, "safe", USUAL[:WINDOW])
    assert told(back)["safe"]["state"] == "valid"
    assert told(promised(tmp_path, safe=SAFE))["safe"]["state"] == "valid"
    other = promised(tmp_path, safe=Policy(max_risk=0.2))
    assert told(other)["safe"]["drift"]["looks"] == 0, "it rests on something else"


LONG = "ü" * 60


@pytest.mark.parametrize(
    "name", ["safe", "at night", "a/b", "..", ".", LONG, "ü" * 33, f"{LONG}x", "x" * 250, "?" * 400], ids=len
)
def test_whatever_a_policy_is_called_its_certificate_and_window_are_kept(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = promised(tmp_path, **{name: SAFE, LONG[1:]: SAFE})
    arrive(first, name, STRANGE)
    arrive(first, LONG[1:], USUAL[:STEP])
    second = promised(tmp_path, **{name: SAFE, LONG[1:]: SAFE})
    assert told(second) == told(first)
    assert told(second)[name]["drift"]["looks"] > 0
    assert not caplog.records or all("the promise is refused" in each.getMessage() for each in caplog.records)
    for folder in (tmp_path, tmp_path / "windows"):
        kept = [each.name for each in folder.iterdir() if each.suffix == ".json"]
        assert len(kept) == 2
        assert not any(each.startswith(".") for each in kept)


@pytest.mark.parametrize(("name", "file"), [("safe", "safe.json"), ("at night", "at%20night.json")])
def test_a_policy_of_a_short_name_is_kept_by_it(tmp_path: Path, name: str, file: str) -> None:
    promises = promised(tmp_path, **{name: SAFE})
    arrive(promises, name, USUAL[:STEP])
    promised(tmp_path, **{name: SAFE})  # waits until all is written
    assert (tmp_path / file).is_file()
    assert (tmp_path / "windows" / file).is_file()


def test_a_question_sees_the_refusal_on_file_and_writes_nothing(tmp_path: Path) -> None:
    arrive(promised(tmp_path, safe=SAFE), "safe", STRANGE)
    asked = promised(tmp_path, keep=False, safe=SAFE)
    assert asked.rule("safe").threshold is None
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    arrive(asked, "safe", USUAL[:WINDOW])
    assert told(asked)["safe"]["state"] == "valid"
    arrive(promised(tmp_path, asked, keep=False, safe=Policy(max_risk=0.2)), "safe", STRANGE)
    assert told(promised(tmp_path, safe=SAFE))["safe"]["state"] == "refused", "waits until all is written"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == kept


def test_a_window_is_filled_over_restarts(tmp_path: Path) -> None:
    for start in range(0, WINDOW, STEP):
        promises = promised(tmp_path, safe=SAFE)
        assert told(promises)["safe"]["drift"]["waiting"] == start
        arrive(promises, "safe", STRANGE[:STEP])
    assert told(promises)["safe"]["state"] == told(promised(tmp_path, safe=SAFE))["safe"]["state"] == "refused"
    assert told(promised(None, safe=SAFE))["safe"]["state"] == "valid"


@pytest.mark.parametrize(
    "harm",
    ["x", "{", "[]", "null", '{"format": "shoal-window-1"}', "sums", "encoder", "format", "looks", "a digit",
     "[" * 100_000],
)  # fmt: skip
def test_a_window_that_cannot_be_read_may_have_held_a_refusal(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    arrive(promised(tmp_path, safe=SAFE), "safe", STRANGE)
    promised(tmp_path, safe=SAFE)  # waits until all is written
    path = tmp_path / "windows/safe.json"
    fields = {"sums": "AA==", "encoder": None, "format": "shoal-window-0", "looks": float("inf"), "a digit": 2}
    other = {"looks" if harm == "a digit" else harm: fields.get(harm)}
    written = json.loads(path.read_text())
    if harm != "a digit":
        written.pop("sha256", None)  # so that it is known by what it says
    path.write_text(json.dumps(written | other) if harm in fields else harm)
    second = promised(tmp_path, safe=SAFE)
    assert "safe.json: is damaged" in caplog.text
    assert second.rule("safe").threshold is None
    found = told(second)["safe"]
    assert (found["state"], found["drift"]["looks"]) == ("refused", 0)
    assert found["why"].startswith("what was seen of recent traffic cannot be read")
    assert second.rule("safe").refused == found["why"] == second.states()["safe"]["why"]
    arrive(second, "safe", USUAL[:STEP])
    third = promised(tmp_path, safe=SAFE)
    assert (told(third)["safe"]["why"], told(third)["safe"]["drift"]["waiting"]) == (found["why"], STEP)
    changed = promised(tmp_path, keep=False, safe=Policy(max_risk=0.2))
    assert told(changed)["safe"]["why"] == found["why"], "it is as little known as before"
    arrive(third, "safe", USUAL[STEP:WINDOW])
    assert told(third)["safe"]["state"] == "valid"
    assert third.rule("safe").threshold is not None
    assert told(promised(tmp_path, safe=SAFE))["safe"] == told(third)["safe"]


def test_a_window_that_cannot_be_read_and_strange_traffic_after_it(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir(parents=True)
    (tmp_path / "windows/safe.json").write_text("x")
    promises = promised(tmp_path, safe=SAFE)
    arrive(promises, "safe", STRANGE)
    assert "recent traffic is not like" in (told(promises)["safe"]["why"] or "")


@pytest.mark.parametrize("encoder", ["encoder", "another"])
def test_a_refusal_outlives_an_edit_or_another_encoder_while_nothing_served(tmp_path: Path, encoder: str) -> None:
    policy = SAFE if encoder == "another" else Policy(max_risk=0.2)
    arrive(promised(tmp_path, safe=SAFE), "safe", USUAL[:WINDOW])
    assert told(promised(tmp_path, encoder=encoder, safe=policy))["safe"]["state"] == "valid"
    arrive(promised(tmp_path, safe=SAFE), "safe", STRANGE)
    after = promised(tmp_path, encoder=encoder, safe=policy)
    assert after.rule("safe").threshold is None
    assert "was strange before encoder, data or registry changed" in (told(after)["safe"]["why"] or "")
    arrive(after, "safe", USUAL[:WINDOW])
    assert told(after)["safe"]["state"] == "valid"


@pytest.mark.parametrize("changed", [False, True])
def test_what_fills_a_window_while_another_is_made_refuses_that_too(tmp_path: Path, changed: bool) -> None:
    serving = promised(tmp_path, safe=SAFE)
    arrive(serving, "safe", STRANGE[: WINDOW - 1])
    made = promised(tmp_path, serving, encoder="other" if changed else "encoder", safe=SAFE)
    arrive(serving, "safe", STRANGE[WINDOW - 1 :])
    assert told(serving)["safe"]["state"] == "refused"
    made.succeed(serving)
    assert told(made)["safe"]["state"] == "refused"
    assert made.rule("safe").threshold is None
    assert made.rule("safe").refused == made.states()["safe"]["why"] is not None
    after = promised(tmp_path, encoder="other" if changed else "encoder", safe=SAFE)
    assert told(after)["safe"]["state"] == "refused", "a restart forgets it no more than this did"
    arrive(serving, "safe", USUAL[:WINDOW])  # requests that were decided before the change ended
    assert (made.rule("safe").threshold is None) == changed, "they are watched still where nothing changed"


def test_a_budget_whose_window_cannot_be_read_says_so_and_serves(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir(parents=True)
    (tmp_path / "windows/thrifty.json").write_text("x")
    promises = promised(tmp_path, thrifty=THRIFTY)
    assert "cannot be read" in told(promises)["thrifty"]["why"]
    assert "serves all the same" in told(promises)["thrifty"]["why"]
    assert promises.rule("thrifty").threshold is not None


def test_a_folder_that_takes_nothing_stops_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    promises = promised(tmp_path, safe=SAFE)
    (tmp_path / "windows").write_text("in the way")
    arrive(promises, "safe", STRANGE)
    assert told(promises)["safe"]["state"] == "refused"
    assert told(promised(tmp_path, safe=SAFE))["safe"]["state"] == "refused"
    assert "cannot be kept, so a restart forgets what was seen of safe" in caplog.text
    assert f"{tmp_path}/windows/safe.json: " in caplog.text


def test_a_budget_is_watched_and_says_so_but_serves_all_the_same(tmp_path: Path) -> None:
    promises = promised(tmp_path, thrifty=THRIFTY)
    before = promises.rule("thrifty")
    assert before.threshold is not None
    arrive(promises, "thrifty", STRANGE)
    found = told(promises)["thrifty"]
    assert found["state"] == "refused"
    assert "not like the requests it was estimated on" in found["why"]
    assert "serves all the same" in found["why"]
    assert promises.rule("thrifty") == before
    assert promises.kept() == {"thrifty": False}
    arrive(promises, "thrifty", USUAL[:WINDOW])
    assert told(promises)["thrifty"]["state"] == "valid"


def test_who_asks_in_another_thread_puts_no_rule_of_before_a_refusal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview asks what serves, which may see that the traffic is another at the same moment."""
    promises, made = promised(None, safe=SAFE), Promise.rule
    arrive(promises, "safe", USUAL[:WINDOW])

    def meanwhile(promise: Promise) -> Rule:
        before = made(promise)
        monkeypatch.undo()
        arrive(promises, "safe", STRANGE)
        assert promises.rule("safe").threshold is None
        return before

    monkeypatch.setattr(Promise, "rule", meanwhile)
    assert promises.rule("safe").threshold is not None, "as it was when that was asked"
    assert promises.rule("safe").threshold is None
