from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio

from experts.child import Child
from experts.conversation import Conversation
from experts.engines import llama_cpp
from experts.engines.gguf import control_tokens
from experts.engines.schema_grammar import bound_by, unheld
from experts.errors import ExpertUnfit, WeightsError
from experts.llama_cpp import LlamaCppExpert
from experts.openai_http import OpenAIExpert
from experts.spec import LlamaCppSpec, Timeouts, Weights
from experts.wire import Call, text_of

live = pytest.mark.asyncio(loop_scope="module")


def thing(**properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


CAT = thing(kind={"const": "cat"}, lives={"type": "integer", "minimum": 1, "maximum": 9})
DOG = thing(kind={"const": "dog"}, name={"type": "string", "maxLength": 8})
HELD: dict[str, dict[str, Any]] = {
    "number between": {"type": "number", "minimum": 0, "maximum": 1},
    "number strictly between": {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.5},
    "integer between": {"type": "integer", "minimum": -5, "maximum": 9},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 20, "maximum": 5000},
    "multiple of a half": {"type": "number", "multipleOf": 0.5, "minimum": 1, "maximum": 30},
    "nullable": {"type": ["integer", "null"], "minimum": 3, "maximum": 8},
    "anywhere": {"type": "string", "pattern": "ab", "maxLength": 12},
    "anchored": {"type": "string", "pattern": r"^\d{3}-[a-f]{2,4}(?:x|y)?$"},
    "one of two patterns": {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}, {"maxLength": 9}]},
    "length": {"type": "string", "minLength": 5, "maxLength": 8},
    "pattern and length": {"type": "string", "pattern": "^[a-z]+$", "minLength": 5, "maxLength": 6},
    "date": {"type": "string", "format": "date"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "uuid": {"type": "string", "format": "uuid"},
    "enum": {"enum": ["x", 3, None, True, {"y": [1.5]}]},
    "const": {"const": 4},
    "anyOf": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 3}, {"type": "null"}]},
    "oneOf by a property": {"oneOf": [CAT, DOG]},
    "oneOf by type": {"oneOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]},
    "oneOf by reference": {"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}]},
    "reference and more": {"$ref": "#/$defs/count", "minimum": 400},
    "few items": {
        "type": "array",
        "items": {"type": "integer", "maximum": 9, "minimum": 0},
        "minItems": 2,
        "maxItems": 3,
    },
    "twice is fine": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2, "uniqueItems": False},
    "tuple": {"type": "array", "prefixItems": [{"enum": [1]}, {"enum": ["b"]}], "items": False, "minItems": 2},
    "few properties": {"type": "object", "maxProperties": 1, "additionalProperties": {"enum": [1, 2]}},
    "length in words": {"type": "string", "maxLength": 9, "title": "t", "description": "d", "x-own": 1},
    "int32": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 99},
    "all of 64 bits": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "far on both sides": {"type": "number", "minimum": -1e300, "maximum": 1.7976931348623157e308},
    "beyond what a float tells apart": {"type": "integer", "minimum": 2**53 + 1, "maximum": 2**53 + 2},
    "at most as many as there are": {"type": "object", "properties": {"b": {"const": 1}}, "maxProperties": 5},
    "one of those that may be left out": {
        "type": "object",
        "properties": {"b": {"const": 1}, "c": {"const": 2}},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
    "other drafts": {"$schema": "http://example.com/own", "$id": "http://example.com/x", "enum": [1, 2]},
}
DEFS = {"cat": CAT, "dog": DOG, "count": {"type": "integer", "maximum": 410}}

LOST: dict[str, tuple[dict[str, Any], str]] = {
    "not": ({"not": {"type": "string"}}, "/not: the keyword `not`"),
    "if": ({"type": "integer", "if": {"minimum": 3}, "then": {"maximum": 9}}, "the keyword `"),
    "contains": ({"type": "array", "contains": {"const": 3}}, "/contains"),
    "unique": ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}, "/uniqueItems"),
    "names": ({"type": "object", "propertyNames": {"maxLength": 2}}, "/propertyNames"),
    "patternProperties": ({"type": "object", "patternProperties": {"^x": {}}}, "/patternProperties"),
    "dependent": ({"type": "object", "dependentRequired": {"q": ["z"]}}, "/dependentRequired"),
    "lookahead": ({"type": "string", "pattern": "^(?=a)b$"}, "/pattern: a `pattern` with lookaround"),
    "backreference": ({"type": "string", "pattern": r"^(a)\1$"}, r"/pattern: a `pattern` with `\1`"),
    "word bound": ({"type": "string", "pattern": r"\bx"}, r"with `\b`"),
    "anchor inside": ({"type": "string", "pattern": "^(^a)$"}, "`^` in its midst"),
    "sets": ({"type": "string", "pattern": "^[a&&b]$"}, "inside a class"),
    "exponential": ({"type": "string", "pattern": "^((((a{99}){99}){99}){99})$"}, "more than 5000 characters"),
    "brace": ({"type": "string", "pattern": "^a{,3}$"}, "repeats nothing"),
    "format": ({"type": "string", "format": "uri"}, "/format: the `format` 'uri'"),
    "format of a string": ({"type": "string", "format": "int32"}, "/format"),
    "overlap": ({"oneOf": [{"type": "string"}, {"enum": ["x"]}]}, "Use `anyOf`"),
    "number overlap": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "Use `anyOf`"),
    "items": ({"type": "array", "items": {"type": "integer"}, "maxItems": 1_000_000}, "/maxItems: `maxItems` may be"),
    "length": ({"type": "string", "minLength": 2**31}, "/minLength: `minLength` may be at most 1000000"),
    "empty range": ({"type": "integer", "minimum": 10, "maximum": 5}, "`minimum` is greater than `maximum`"),
    "unnamed": ({"type": "object", "required": ["z"], "additionalProperties": False}, "'z' is required"),
    "false": ({"type": "object", "properties": {"z": False}}, "nothing satisfies `false`"),
    "branches": ({"allOf": [{"type": "integer", "minimum": n} for n in range(5)]}, "at most 4 branches"),
    "multiple of nothing": ({"type": "integer", "multipleOf": 0}, "/multipleOf"),
    "nineteen digits": ({"type": "integer", "minimum": 10**18}, "/minimum: `minimum` is supported up to 18 digits"),
    "nineteen below": ({"type": "number", "exclusiveMaximum": -1e300}, "/exclusiveMaximum"),
    "next to nothing": ({"type": "number", "minimum": 1e-100}, "/minimum: `minimum` is supported from 1e-30 on"),
    "no whole number": ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "/minimum: nothing that the schema"),
    "no multiple": ({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}, "lies between"),
    "open range": ({"type": "number", "minimum": 5, "exclusiveMaximum": 5}, "between `minimum` and `exclusiveMaximum`"),
    "crossed": (
        {"type": "number", "exclusiveMinimum": 6, "maximum": 5},
        "`exclusiveMinimum` is greater than `maximum`",
    ),
    "counted": ({"properties": {"b": {}, "c": {}, "d": {}}, "maxProperties": 2}, "/maxProperties: `maxProperties` is"),
    "counted from below": (
        {"properties": {"b": {}, "c": {}}, "minProperties": 2, "additionalProperties": False},
        "/minProperties: `minProperties` is supported where every property is required",
    ),
    "counted among others": ({"properties": {"b": {}}, "minProperties": 1}, "/minProperties"),
    "others counted twice": ({"additionalProperties": {"type": "integer"}, "minProperties": 2}, "may repeat"),
    "fewer than required": ({"properties": {"b": {}}, "required": ["b"], "maxProperties": 0}, "/maxProperties: fewer"),
    "more than named": (
        {"properties": {"b": {}}, "required": ["b"], "additionalProperties": False, "minProperties": 2},
        "/minProperties: more properties than",
    ),
}


@pytest.mark.parametrize("steps", [(1009,), (31, 37), (0.01, 11), (1e-300,), (1e300,)])
def test_steps_that_together_count_too_far_are_told(steps: tuple[float, ...]) -> None:
    """Four primes near ten thousand, met in one value, end the engine."""
    apart = [{"type": "number", "multipleOf": step} for step in steps]
    assert "`multipleOf`s have no common multiple" in str(unheld(thing(a={"allOf": apart})))
    assert unheld(thing(a={"multipleOf": 0.25}, b={"multipleOf": 3}, c={"multipleOf": 1.5})) is None


def test_pairs_of_branches_have_a_bound_over_a_whole_schema() -> None:
    """Each pair is looked at: of 64 KB that refer to the same branches there were 80,000."""
    apart = [{"type": "object", "required": ["k"], "properties": {"k": {"const": str(n)}}} for n in range(40)]
    one = {"oneOf": apart}
    assert unheld(thing(a=one, b=one)) is None
    assert "`oneOf`s have more than 2000 pairs of branches" in str(unheld(thing(a=one, b=one, c=one)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat(smollm_weights: Path) -> AsyncIterator[LlamaCppExpert]:
    weights = Weights(source="file:model.gguf", sha256="0" * 64, licence="Apache-2.0")
    spec = LlamaCppSpec(
        id="chat", kind="llama_cpp", description="d", weights=weights, params_b=0.1, context=2048, memory_mb=400
    )
    child = Child("chat", llama_cpp.recipe(spec, smollm_weights))
    try:
        await child.start()
        url, socket = child.address.base_url, child.address.unix_socket
        server = OpenAIExpert("chat", url, "chat", timeouts=Timeouts(), unix_socket=socket)
        expert = LlamaCppExpert(server, Conversation(control_tokens(smollm_weights)))
        yield expert
        await expert.aclose()
    finally:
        await child.stop()


def asking(schema: dict[str, Any], strict: bool = True, **more: Any) -> Call:
    form = {"type": "json_schema", "json_schema": {"name": "s", "strict": strict, "schema": schema}}
    said = [{"role": "user", "content": "Invent a person as JSON in a ```json block."}]
    return Call({"messages": said, "response_format": form, "max_tokens": 80, "seed": 1, **more}, "r")


def _drawn(draw: Random, depth: int = 2) -> dict[str, Any]:
    """A schema of what documents list as enforced, with bounds of any size, whether or not something fits it."""
    kind = draw.choice(["integer", "number", "boolean", "string", *["array", "object"] * (depth > 0)])
    schema: dict[str, Any] = {"type": kind}
    if kind in ("integer", "number"):
        for keyword in draw.sample(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], draw.randint(0, 2)):
            size = draw.choice([1, 10, 1e6, 1e17, 1e19, 1e300, 1e-9, 1e-200])
            bound = draw.choice([round(size * draw.uniform(-9, 9), 3), size, -size, 2**63 - 1, -(2**63), 2**53 + 1])
            schema[keyword] = bound
    if kind == "string":
        schema |= {"maxLength": draw.randint(0, 5), "minLength": draw.randint(0, 3)}
    if kind == "array":
        schema |= {"items": _drawn(draw, depth - 1), "maxItems": draw.randint(0, 3), "minItems": draw.randint(0, 2)}
    if kind == "object":
        names = draw.sample("bcd", draw.randint(0, 3))
        schema |= {"properties": {name: _drawn(draw, depth - 1) for name in names}}
        schema |= {"required": draw.sample(names, draw.randint(0, len(names)))}
        schema |= {key: draw.randint(0, 3) for key in ("minProperties", "maxProperties") if draw.random() < 0.4}
        schema |= draw.choice([{}, {"additionalProperties": False}, {"additionalProperties": {"type": "boolean"}}])
    return schema


@live
async def test_what_is_not_refused_beforehand_binds(chat: LlamaCppExpert) -> None:
    """Drawn schemas, each either told to be beyond the grammar, or kept to by what is answered."""
    draw, held, whole = Random(7), 0, 0  # noqa: S311
    for _ in range(80):
        schema = thing(a=_drawn(draw))
        if unheld(schema):
            continue
        held += 1
        (choice,) = (await chat.complete(asking(schema, temperature=1.5, max_tokens=24))).body["choices"]
        assert choice["message"]["content"].startswith("{")
        if choice["finish_reason"] == "stop":
            whole += 1
            jsonschema_rs.validator_for(schema).validate(json.loads(choice["message"]["content"]))
    assert held > 30 and whole > 15


@live
@pytest.mark.parametrize("name", HELD)
async def test_an_answer_keeps_to_each_keyword(chat: LlamaCppExpert, name: str) -> None:
    """Drawn hot, so that only the grammar keeps it there."""
    schema = {**thing(a=HELD[name]), "$defs": DEFS}
    assert unheld(schema) is None
    answer = await chat.complete(asking(schema, temperature=1.5, n=3, max_tokens=120))
    whole = [c["message"]["content"] for c in answer.body["choices"] if c["finish_reason"] == "stop"]
    assert whole, "numbers and words may be long, but not all of three run on to the limit"
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for text in whole:
        validator.validate(json.loads(text))


TAB, NEWLINE = "197", "198"
"""Tokens of SmolLM2's vocabulary."""


@live
@pytest.mark.parametrize("form", ["json_schema", "json_object"])
@pytest.mark.parametrize("wanted", [TAB, NEWLINE])
async def test_white_space_has_an_end(chat: LlamaCppExpert, wanted: str, form: str) -> None:
    """However much the model likes it, and whatever the schema says of it to the engine."""
    schema = {**thing(city={"enum": ["Oslo", "Rome"]}, people={"enum": [1, 2]}), "x-guidance": {"lenient": True}}
    bias = {"temperature": 0, "logit_bias": {wanted: 12}}
    if form == "json_object":
        bias["response_format"] = {"type": form}
    (choice,) = (await chat.complete(asking(schema, **bias))).body["choices"]
    assert not set("\t\n") & set(choice["message"]["content"])
    if form == "json_schema":
        assert choice["finish_reason"] == "stop"
        jsonschema_rs.validator_for(schema).validate(json.loads(choice["message"]["content"]))


REPEATED = '{"a": 1, "b": 2, "c": 3, "note": "x"}'
CONTRADICTION = thing(a={"allOf": [{"type": "string"}, {"type": "integer"}]})
"""No list of keywords says that nothing fits it."""


@live
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_schema_the_engine_cannot_compile_is_never_answered_unbound(
    chat: LlamaCppExpert, streamed: bool
) -> None:
    """Not where the model's own words begin as JSON does, either; who does not insist gets JSON of any shape."""
    said = [{"role": "user", "content": f"Repeat exactly this and nothing else: {REPEATED}"}]

    async def answer(strict: bool) -> str:
        call = asking(CONTRADICTION, strict, messages=said, temperature=0)
        if not streamed:
            return str((await chat.complete(call)).body["choices"][0]["message"]["content"])
        return "".join([text_of(events, "chat") async for events in chat.stream(call)])

    assert unheld(CONTRADICTION) is None
    for _ in range(2):
        with pytest.raises(ExpertUnfit, match="beyond the grammar of this model: nothing fits it, or it is too large"):
            await answer(strict=True)
    assert isinstance(json.loads(await answer(strict=False)), dict)


@pytest.mark.parametrize("name", LOST)
def test_a_keyword_that_would_be_lost_is_told_with_its_place(name: str) -> None:
    schema, said = LOST[name]
    told = unheld(thing(a=schema))
    assert told is not None
    assert told.startswith("#/properties/a")
    assert said in told


@live
async def test_the_tokens_are_those_of_the_answer(chat: LlamaCppExpert) -> None:
    """No fence is said, cut off or paid for, however short the answer."""
    schema = thing(a={"type": "string", "maxLength": 12})
    for limit in (1, 2, 5, 60):
        for form in ({"type": "json_object"}, asking(schema).body["response_format"]):
            call = asking(schema, response_format=form, temperature=0, logprobs=True, max_tokens=limit)
            choice = (await chat.complete(call)).body["choices"][0]
            content = choice["message"]["content"]
            assert content == "".join(token["token"] for token in choice["logprobs"]["content"])
            assert content.startswith("{")
            events = [event async for batch in chat.stream(call) for event in batch]
            deltas = [choice for event in events for choice in event.chunk["choices"]]
            assert "".join(choice["delta"].get("content") or "" for choice in deltas) == content


@pytest.mark.parametrize(
    "more", [{}, {"allOf": [{"required": ["a"]}]}, {"anyOf": [{"required": ["b"]}]}, {"minProperties": 3}]
)
def test_only_an_object_by_itself_is_closed(more: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {}}, "required": ["a"], **more}
    form = asking(schema).body["response_format"]
    closed = '"required":["a"],"additionalProperties":false' in (bound_by(form) or "")
    assert closed == (not more)


@live
async def test_where_nobody_insists_any_json_will_do(chat: LlamaCppExpert) -> None:
    schema = thing(a={"not": {"type": "string"}})
    answer = await chat.complete(asking(schema, strict=False, max_tokens=8))
    assert answer.body["choices"][0]["message"]["content"].lstrip()[0] in '{["-0123456789tfn'


@live
async def test_what_users_write_is_no_control_token(chat: LlamaCppExpert) -> None:
    def of(content: Any) -> Call:
        return Call({"messages": [{"role": "user", "content": content}]}, "r")

    plain = await chat.count(of("x"))
    for content in ("<|im_end|>" * 10, [{"type": "text", "text": "<|im_end|>" * 10}]):
        assert await chat.count(of(content)) > plain + 30, "ten control tokens would be ten"
    assert await chat.count(of("a < b |> c")) == await chat.count(of([{"type": "text", "text": "a < b |> c"}]))


@live
async def test_calls_and_results_are_read(chat: LlamaCppExpert) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
    ]
    without = [said[0], {"role": "assistant", "content": ""}, said[2]]
    assert await chat.count(Call({"messages": said}, "r")) > await chat.count(Call({"messages": without}, "r")) + 5
    told = Conversation().told(said)
    assert told[1] == {"role": "assistant", "content": 'Called weather with {"city": "Oslo"}'}
    assert told[2] == {"role": "user", "content": "Result of weather: 21 degrees"}
    assert Conversation(tools=True).told(said) == said


def test_overlapping_tokens_are_all_broken() -> None:
    told = Conversation(["<a", "a>", ">"]).told([{"role": "user", "content": "<a> <b"}])[0]["content"]
    assert "<a" not in told and "a>" not in told
    assert told.replace("\u200b", "") == "<a> <b"


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    for raw in (b"", b"GGUF", b"GGUF" + b"\xff" * 60, b"PK" * 40):
        (tmp_path / "m.gguf").write_bytes(raw)
        with pytest.raises(WeightsError, match="is not a GGUF file"):
            control_tokens(tmp_path / "m.gguf")
