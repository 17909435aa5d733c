from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from experts.policy import Policy
from experts.spec import Encoder, LabelsSpec, LlamaCppSpec, OpenAISpec, Power, Price, Registry, Weights
from router.decide import Decision, NobodyCan, decide, last_resort, named, obstacle, policy_of, resolve
from router.judgement import NO_TEXT, Judgement
from router.ladder import Ladder
from router.reason import Reason
from router.request import ChatRequest, Needs
from router.rule import Rule


def expert(name: str, params_b: float, usd: float = 0, **more: Any) -> OpenAISpec:
    price = Price(input_usd_per_mtok=usd, output_usd_per_mtok=usd, source="test", as_of=date(2026, 11, 1))
    values: dict[str, Any] = {
        "id": name, "kind": "openai", "description": name, "url": "http://127.0.0.1:1/v1", "model": name,
        "params_b": params_b, "context": 4096, "price": price,
    }  # fmt: skip
    return OpenAISpec.model_validate(values | more)


REGISTRY = Registry(
    version=1,
    encoder=Encoder(path=Path("/x"), sha256="0" * 64),
    fallback="big",
    policies={"balanced": Policy(threshold=0.8), "careful": Policy(threshold=0.95, out_of_domain=0.1)},
    power=Power(dynamic_w_per_core=2, source="test", as_of=date(2026, 11, 1)),
    experts=(
        expert("small", 1),
        expert("medium", 3),
        expert("dear", 0.5, usd=4),
        expert("big", 70, usd=9, context=100_000, capabilities=["stream", "tools", "logprobs", "json_schema"]),
    ),
)


def needs(**body: Any) -> Needs:
    return Needs.of(ChatRequest("id", {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **body}))


def test_what_tools_were_called_with_counts_as_much_as_text() -> None:
    """Of 10 MB of it a local model's messages took two seconds to rewrite, for a prompt that fits no context."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "x" * 8_000}}
    custom = {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x" * 8_000}}
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call, custom]}]
    assert needs(messages=said).least_tokens == (2 + 2 * 8_001) // 8
    asked = ChatRequest("id", {"model": "auto", "messages": said})
    assert asked.estimated_tokens == (2 + 2 * 8_001) // 4


def test_tools_that_are_offered_count_as_much_as_text() -> None:
    """Servers write them into the prompt, and an agent's are often most of it."""
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 8_000}}
    said = [{"role": "user", "content": "hi"}]
    asked = ChatRequest("id", {"model": "auto", "messages": said, "tools": [tool]})
    assert asked.estimated_tokens == (2 + len(str([tool]))) // 4
    assert needs(messages=said, tools=[tool]).least_tokens == asked.estimated_tokens // 2


def choose(
    probability: dict[str, float],
    known: float = 0.5,
    policy: str | Rule = "balanced",
    down: tuple[str, ...] = (),
    **body: Any,
) -> Decision:
    best = max(probability, key=probability.__getitem__, default=None)
    judgement = Judgement(best, probability, known, 0.0)
    rule = policy if isinstance(policy, Rule) else Rule.of(policy, REGISTRY.policies[policy])
    return decide(judgement, Ladder.of(REGISTRY), rule, needs(**body), lambda name: "is down" if name in down else None)


def test_of_equally_small_experts_the_most_probable_answers() -> None:
    experts = (expert("a", 1), expert("b", 1), expert("c", 1), REGISTRY.expert("big"))
    registry = REGISTRY.model_copy(update={"experts": experts})
    judgement = Judgement("b", {"a": 0.0016, "b": 0.98, "c": 0.98, "big": 0.6}, 0.5, 0.0)
    for rule in (Rule("safe", -0.7, 0.05, "big", exact=True), Rule("lax", 0.0, 0.05)):
        assert decide(judgement, Ladder.of(registry), rule, needs(), lambda _: None).expert == "b"


def test_the_smallest_of_those_above_the_threshold() -> None:
    found = choose({"small": 0.85, "medium": 0.99, "dear": 0.9})
    assert (found.expert, found.probability, found.threshold) == ("small", 0.85, 0.8)
    assert found.escalated_from is None
    assert [c.expert for c in found.candidates] == ["medium", "dear", "small"]


def test_money_comes_before_parameters() -> None:
    assert choose({"medium": 0.9, "dear": 0.9}).expert == "medium"


def test_nobody_sure_enough_is_the_fallback_and_says_from_whom() -> None:
    found = choose({"small": 0.5, "medium": 0.7})
    assert (found.expert, found.escalated_from) == ("big", "medium")
    assert found.reason == "no expert sure enough (best: medium at 0.70, needs 0.8)"
    assert found.why is Reason.NOT_SURE
    assert choose({"small": 0.9}).why is None


def test_what_no_expert_should_answer_is_the_fallback_s_and_says_so() -> None:
    judgement = Judgement(None, {"small": 0.05, "medium": 0.01}, 0.5, 0.0, outside=0.94)
    rule = Rule.of("balanced", REGISTRY.policies["balanced"])
    found = decide(judgement, Ladder.of(REGISTRY), rule, needs(), lambda _: None)
    assert (found.expert, found.label) == ("big", None)
    assert found.reason == "like requests that no expert here should answer (0.94)"
    assert found.why is Reason.OUTSIDE


def test_an_unknown_request_is_the_fallback_however_sure() -> None:
    found = choose({"small": 0.99}, known=0.04)
    assert (found.expert, found.escalated_from) == ("big", "small")
    assert found.reason.startswith("out of every known domain")
    assert found.why is Reason.OUT_OF_DOMAIN
    assert choose({"small": 0.99}, known=0.05).expert == "small"


@pytest.mark.parametrize(
    "rule", [Rule("balanced", 0.8, 0.05), Rule("all", 0.8, 0.0), Rule("safe", None, 0.05, refused="drift")]
)
def test_of_a_request_without_text_nothing_else_is_said(rule: Rule) -> None:
    found = decide(NO_TEXT, Ladder.of(REGISTRY), rule, needs(), lambda _: None)
    assert (found.expert, found.reason) == ("big", "the request holds no text to judge")


def test_a_refused_promise_sends_everything_to_the_fallback_and_says_why() -> None:
    refused = Rule("safe", None, 0.05, refused="recent traffic has drifted")
    found = choose({"small": 0.99, "medium": 0.999}, policy=refused)
    assert (found.expert, found.escalated_from, found.threshold) == ("big", "medium", None)
    assert found.reason == "policy safe can promise nothing: recent traffic has drifted"
    assert found.why is Reason.NO_PROMISE


def test_a_policy_without_a_threshold_is_refused_until_one_is_found() -> None:
    assert choose({"small": 0.99}, policy=Rule.of("safe", Policy(max_risk=0.02))).expert == "big"


def test_a_rule_may_ask_how_far_an_expert_is_beyond_the_fallback() -> None:
    rule = Rule("safe", -0.05, 0.05, beyond="big")
    assert choose({"small": 0.6, "big": 0.64}, policy=rule).expert == "small"
    found = choose({"small": 0.6, "big": 0.7}, policy=rule)
    assert (found.expert, round(found.threshold or 0, 6)) == ("big", 0.65)
    assert choose({"small": 0.6}, policy=rule).expert == "big"


def test_a_policy_changes_both_thresholds() -> None:
    assert choose({"small": 0.9}, policy="careful").expert == "big"
    assert choose({"small": 0.96}, known=0.09, policy="careful").expert == "big"
    assert choose({"small": 0.96}, known=0.1, policy="careful").expert == "small"


@pytest.mark.parametrize(
    ("body", "obstacle"),
    [
        ({"tools": [{"type": "function"}]}, "cannot do tools"),
        ({"logprobs": True}, "cannot do logprobs"),
        ({"response_format": {"type": "json_schema"}}, "cannot do json_schema"),
        ({"messages": [{"role": "user", "content": "x" * 13_000}]}, "context of 4096 tokens is too short"),
        ({"max_tokens": 5000}, "context of 4096 tokens is too short"),
    ],
)
def test_what_an_expert_lacks_keeps_requests_away(body: dict[str, Any], obstacle: str) -> None:
    found = choose({"small": 0.99}, **body)
    assert found.expert == "big"
    assert found.candidates[0].obstacle == obstacle
    assert found.reason == f"small would do, but {obstacle}"
    assert found.why is Reason.UNABLE


def test_where_only_the_certified_choice_may_be_made_the_reason_names_who_that_was() -> None:
    rule = Rule("safe", 0.8, 0.05, exact=True)
    found = choose({"small": 0.85, "medium": 0.99}, policy=rule, down=("small",))
    assert (found.expert, found.reason) == ("big", "small would do, but is down")


def test_who_reads_the_vector_only_has_no_context_to_overflow() -> None:
    """A ticket with a long system prompt is still a ticket; its label has no tokens to count either."""
    more = {"kind": "labels", "description": "d", "params_b": 0, "context": 4096, "labels": "l.jsonl"}
    triage = LabelsSpec.model_validate({"id": "triage", **more})
    registry = REGISTRY.model_copy(update={"experts": (triage, REGISTRY.expert("big"))})
    judgement = Judgement("triage", {"triage": 0.9}, 0.5, 0.0)
    rule = Rule("balanced", 0.8, 0.05)
    long = {"messages": [{"role": "system", "content": "x" * 60_000}, {"role": "user", "content": "hi"}]}
    for body in (long, {"max_tokens": 5000}):
        asked = needs(**body)
        assert decide(judgement, Ladder.of(registry), rule, asked, lambda _: None).expert == "triage"
        assert named(triage, asked, registry, "why").expert == "triage"


def test_what_is_too_long_for_the_fallback_goes_to_who_has_room() -> None:
    experts = (expert("small", 1), expert("roomy", 3, context=100_000), expert("big", 70))
    registry = REGISTRY.model_copy(update={"experts": experts})
    judgement = Judgement("small", {"small": 0.7, "roomy": 0.4}, 0.5, 0.0)
    rule, long = Rule("balanced", 0.8, 0.05), needs(messages=[{"role": "user", "content": "x" * 40_000}])
    found = decide(judgement, Ladder.of(registry), rule, long, lambda _: None)
    assert (found.expert, found.probability, found.escalated_from) == ("roomy", 0.4, None)
    assert found.reason.endswith("`big` is too short for it, so the most probable one with room answers")
    with pytest.raises(NobodyCan) as caught:
        decide(judgement, Ladder.of(registry), rule, long, lambda name: "is down" if name == "roomy" else None)
    assert caught.value.code == "context_length_exceeded"


def test_tools_that_may_not_be_called_need_no_capability() -> None:
    assert choose({"small": 0.99}, tools=[{"type": "function"}], tool_choice="none").expert == "small"


def test_one_that_is_down_is_passed_over() -> None:
    assert choose({"small": 0.99, "medium": 0.9}, down=("small",)).expert == "medium"


def test_what_nobody_can_do_is_refused_with_its_parameter() -> None:
    with pytest.raises(NobodyCan) as caught:
        choose({"small": 0.99}, n=2)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")
    with pytest.raises(NobodyCan) as caught:
        choose({"small": 0.99}, messages=[{"role": "user", "content": "x" * 900_000}])
    assert caught.value.code == "context_length_exceeded"


def test_a_named_expert_is_taken_at_its_word() -> None:
    assert named(REGISTRY.expert("small"), needs(), REGISTRY, "why").expert == "small"
    with pytest.raises(NobodyCan) as caught:
        named(REGISTRY.expert("small"), needs(tools=[{"type": "function"}]), REGISTRY, "why")
    assert caught.value.param == "tools"


def test_pictures_go_to_who_can_see_them() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    with pytest.raises(NobodyCan) as caught:
        choose({"small": 0.99}, messages=picture)
    assert caught.value.param == "messages"
    remedy = "No model here does; whoever runs this server can name one that does with SHOAL_FALLBACK_URL."
    assert str(caught.value) == f"The fallback `big` does not support parts other than text in 'messages'. {remedy}"


def test_the_last_resort_is_the_most_probable_one_that_writes() -> None:
    found = choose({"small": 0.5, "medium": 0.7})
    assert (found.expert, last_resort(found, Ladder.of(REGISTRY))) == ("big", "medium")
    assert last_resort(choose({"small": 0.5, "medium": 0.7}, down=("medium",)), Ladder.of(REGISTRY)) == "small"
    assert last_resort(choose({}), Ladder.of(REGISTRY)) is None


def test_nothing_known_at_all_is_the_fallback() -> None:
    found = choose({}, known=0.0)
    assert (found.expert, found.escalated_from) == ("big", None)


def test_model_names() -> None:
    assert policy_of("auto", REGISTRY) == "balanced"
    assert policy_of("auto:careful", REGISTRY) == "careful"
    assert policy_of("auto:nonsense", REGISTRY) is None
    assert policy_of("careful", REGISTRY) is None
    assert resolve("gpt", {"gpt": "auto"}) == "auto"
    assert resolve("other", {"gpt": "auto"}) == "other"


def test_a_schema_that_no_grammar_holds_goes_to_a_server_or_is_refused() -> None:
    weights = Weights(source="file:m.gguf", sha256="0" * 64, licence="MIT")
    claims: Any = {"description": "d", "context": 4096, "capabilities": frozenset({"json_schema"})}
    local = LlamaCppSpec(id="local", kind="llama_cpp", params_b=0.1, memory_mb=1, weights=weights, **claims)
    registry = REGISTRY.model_copy(update={"experts": (local, *REGISTRY.experts)})
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)b$"}}}

    def asked(schema: Any, strict: bool = True) -> Needs:
        form = {"type": "json_schema", "json_schema": {"name": "x", "strict": strict, "schema": schema}}
        return needs(response_format=form)

    with pytest.raises(NobodyCan, match=r"#/properties/a/pattern: a `pattern` with lookaround.*Ask a .* `big`") as told:
        named(local, asked(schema), registry, "named")
    assert (told.value.param, told.value.code) == ("response_format", "unsupported_parameter")
    assert obstacle(local, asked(schema)) == "cannot keep to this schema"
    assert named(registry.expert("big"), asked(schema), registry, "named").expert == "big"
    for fine in (asked(schema, strict=False), asked({"type": "object", "properties": {"a": {"const": 1}}})):
        assert named(local, fine, registry, "named").expert == "local"
    assert "json_schema" not in local.model_copy(update={"engine": "llama-cpp-python"}).abilities


@pytest.mark.parametrize(
    ("probability", "least", "said"),
    [
        (0.7, 0.8, "small at 0.70, needs 0.8"),
        (0.9955, 0.996, "small at 0.9955, needs 0.996"),
        (0.7999999, 0.8, "small at 0.7999999, needs 0.8"),
        (0.79996, 0.79999, "small at 0.79996, needs 0.79999"),
        (0.6, 0.838891, "small at 0.60, needs 0.838891"),
    ],
)
def test_what_is_not_enough_reads_as_less_than_what_is_needed(probability: float, least: float, said: str) -> None:
    found = choose({"small": probability}, 0.5, Rule("tight", least, 0.05))
    assert found.reason == f"no expert sure enough (best: {said})"


@given(some.floats(0, 1))
def test_a_threshold_is_told_in_one_way_and_never_above_what_it_is(threshold: float) -> None:
    """Whoever passed it passes what is told too, and one of six digits, as those that are found, is told as it is."""
    decision = choose({"small": threshold}, 0.5, Rule("own", threshold, 0.05))
    told = decision.to_json()["threshold"]
    assert threshold - 1.01e-6 < told <= threshold
    assert choose({"small": threshold}, 0.5, Rule("copied", told, 0.05)).expert == decision.expert == "small"
    found = round(threshold, 6)
    assert choose({"small": 1.0}, 0.5, Rule("found", found, 0.05)).to_json()["threshold"] == found
