"""Keys from outside: made by the command, used over the socket, limited, revoked."""

from __future__ import annotations

import json
import math
import re
import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from router.api.edge import FIGURES, OPEN_PATHS
from router.api.operations import OPERATIONS
from router.keys.key import Role
from tests.service.server import Server, eventually, write_registry

POEM = [{"role": "user", "content": "write a poem about the sea and the wind"}]
CHAT = "/v1/chat/completions"
ADMIN_KEY = "the-admin-key-of-the-environment"
FIGURES_KEY = "the-figures-key-of-the-environment"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Server]) -> Server:
    return start(
        write_registry(tmp_path_factory.mktemp("registry")),
        SHOAL_API_KEYS="a-key-of-the-environment",
        SHOAL_ADMIN_KEY=ADMIN_KEY,
        SHOAL_FIGURES_KEY=FIGURES_KEY,
    )


def create(server: Server, name: str, *options: str) -> dict[str, Any]:
    """A new key, once the server knows it."""
    done = server.shoal("keys", "create", name, *options, "--json")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    if made["role"] == "inference":
        eventually(lambda: server.get("/v1/models", bearer(made))[0] == 200)
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {made['key']}"}


def test_a_key_is_made_used_listed_and_revoked(guarded: Server) -> None:
    made = create(guarded, "shop")
    client = guarded.client(api_key=made["key"])
    assert client.chat.completions.create(model="auto", messages=POEM).model == "poet"
    exported = guarded.shoal("meter", "export", "--format", "jsonl").stdout
    assert {(row["SubAccountId"], row["SubAccountName"]) for row in map(json.loads, exported.splitlines())} == {
        (made["id"], "shop")
    }
    assert guarded.send("GET", "/admin/ledger?format=jsonl", None, bearer({"key": ADMIN_KEY}))[1].decode() == exported
    listed = guarded.shoal("keys", "list", "--json").stdout
    assert made["key"] not in listed
    assert {key["id"]: key["name"] for key in json.loads(listed)}[made["id"]] == "shop"
    limits = ("--requests-per-minute", "60", "--tokens-per-minute", "1000", "--budget-usd-per-day", "2")
    wide = create(guarded, "a shop with a long name", "--model", "cook", "--model", "poet", *limits)
    table = guarded.shoal("keys", "list", COLUMNS="80").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert made["id"] in table and wide["id"] in table
    assert "\u2026" not in table  # nothing is cut
    assert guarded.shoal("keys", "revoke", made["id"][:6]).returncode == 0
    eventually(lambda: guarded.get("/v1/models", bearer(made))[0] in REFUSED)
    with pytest.raises((openai.AuthenticationError, openai.RateLimitError)):
        client.models.list()
    assert guarded.get("/v1/models", {"authorization": "Bearer a-key-of-the-environment"})[0] == 200


def test_anthropics_header_works_too(guarded: Server) -> None:
    assert guarded.get("/v1/models", {"x-api-key": "a-key-of-the-environment"})[0] == 200


def test_a_key_asks_only_the_models_it_may(guarded: Server) -> None:
    made = create(guarded, "cook only", "--model", "cook")
    client = guarded.client(api_key=made["key"])
    assert client.chat.completions.create(model="auto", messages=POEM).model == "cook"
    assert client.chat.completions.create(model="cook", messages=POEM).model == "cook"
    for other in ("poet", "big", "gpt-small"):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model=other, messages=POEM)
        assert caught.value.code == "model_not_allowed"
    for vectors in ("encoder", "auto"):
        with pytest.raises(openai.PermissionDeniedError):
            client.embeddings.create(model=vectors, input="x")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such", messages=POEM)
    names = {model.id for model in client.models.list()}
    assert names == {"auto", "auto:balanced", "auto:careful", "fallback", "cook", "gpt-auto"}
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("poet")
    _, told, _ = guarded.post("/v1/route", {"model": "auto", "messages": POEM}, bearer(made))
    assert "poet" not in json.dumps(told["nearest"]) + json.dumps(told["decision"])
    assert told["decision"]["label"] is None
    _, answer, _ = guarded.post("/v1/chat/completions", {"model": "auto", "messages": POEM}, bearer(made))
    assert answer["shoal"]["decision"]["label"] is None
    _, told, _ = guarded.post(
        "/v1/route", {"model": "auto", "messages": POEM}, {"x-api-key": "a-key-of-the-environment"}
    )
    assert told["decision"]["label"] == "poet"
    grouped = guarded.shoal("meter", "report", "--group-by", "domain", "--json")
    assert "poet" in json.dumps(json.loads(grouped.stdout)), "the ledger knows it all the same"


def test_a_key_that_may_not_use_the_fallback_gets_vectors_all_the_same(guarded: Server) -> None:
    made = create(guarded, "cook and vectors", "--model", "cook", "--model", "encoder")
    for vectors in ("encoder", "auto"):
        assert guarded.client(api_key=made["key"]).embeddings.create(model=vectors, input="x").model == "encoder"


def test_a_key_that_may_use_no_expert_asks_none_by_an_alias_either(guarded: Server) -> None:
    made = create(guarded, "vectors only", "--model", "encoder")
    client = guarded.client(api_key=made["key"])
    for vectors in ("encoder", "auto"):
        assert client.embeddings.create(model=vectors, input="x").model == "encoder"
    for other in ("auto", "auto:careful", "fallback", "gpt-auto", "gpt-small"):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model=other, messages=POEM)
        assert caught.value.code == "model_not_allowed"
    assert [model.id for model in client.models.list()] == ["encoder"]


def seconds(duration: str) -> float:
    """What OpenAI's 6m0s or 120ms stands for."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def test_requests_of_a_minute(guarded: Server) -> None:
    made = create(guarded, "slow", "--requests-per-minute", "2")
    ok = {"model": "cook", "messages": POEM}
    status, _, headers = guarded.post(CHAT, ok, bearer(made))
    assert (status, headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == (200, "2", "1")
    assert 0 < seconds(headers["x-ratelimit-reset-requests"]) <= 30
    assert guarded.post(CHAT, ok, bearer(made))[0] == 200
    status, body, headers = guarded.post(CHAT, ok, bearer(made))
    assert status == 429
    assert (body["error"]["type"], body["error"]["code"]) == ("requests", "rate_limit_exceeded")
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(headers["retry-after"]) <= 60
    reset = seconds(headers["x-ratelimit-reset-requests"])
    assert int(headers["retry-after"]) in (math.ceil(reset), math.ceil(reset) + 1)  # a clock ticks between the two


def test_what_is_refused_costs_no_request(guarded: Server) -> None:
    made = create(guarded, "clumsy", "--requests-per-minute", "1", "--model", "cook")
    ok = {"model": "cook", "messages": POEM}
    for body, wanted in (({"model": "cook"}, 400), (ok | {"model": "poet"}, 403), (ok | {"model": "nobody"}, 404)):
        status, _, headers = guarded.post(CHAT, body, bearer(made))
        assert (status, headers["x-ratelimit-remaining-requests"]) == (wanted, "1")
        assert headers["x-ratelimit-reset-requests"] == "0s"
    assert guarded.post("/v1/no-such", ok, bearer(made))[2]["x-ratelimit-remaining-requests"] == "1"
    assert guarded.post(CHAT, ok, bearer(made))[0] == 200
    assert guarded.post(CHAT, ok, bearer(made))[0] == 429


def test_tokens_of_a_minute(guarded: Server) -> None:
    made = create(guarded, "terse", "--tokens-per-minute", "5")
    ok = {"model": "cook", "messages": [{"role": "user", "content": "soup of lentils, carrots and leek"}]}
    assert guarded.post(CHAT, ok, bearer(made))[0] == 200
    status, body, headers = guarded.post(CHAT, ok, bearer(made))
    assert (status, body["error"]["type"], body["error"]["code"]) == (429, "tokens", "rate_limit_exceeded")
    assert headers["x-ratelimit-limit-tokens"] == "5"
    reset = seconds(headers["x-ratelimit-reset-tokens"])
    assert int(headers["retry-after"]) in (60, math.ceil(reset), math.ceil(reset) + 1)


def test_what_is_left_is_told_as_it_was_used(guarded: Server) -> None:
    made = create(guarded, "careful", "--tokens-per-minute", "1000000")
    # The body sets many more tokens aside than the expert counts.
    ok = {"model": "cook", "messages": POEM, "metadata": {str(at): "x" * 500 for at in range(16)}}
    status, body, headers = guarded.post(CHAT, ok, bearer(made))
    assert status == 200
    assert int(headers["x-ratelimit-remaining-tokens"]) >= 1_000_000 - body["usage"]["total_tokens"] > 999_900


@pytest.mark.parametrize(("option", "unit"), [("--budget-usd-per-day", "USD"), ("--budget-j-per-day", "J")])
def test_a_spent_budget_is_told_and_survives_a_restart(
    start: Callable[..., Server], tmp_path: Path, option: str, unit: str
) -> None:
    server = start(write_registry(tmp_path))
    today = datetime.now(UTC).date()
    amount = "0.000001" if unit == "USD" else "0.0001"
    made = create(server, "thrifty", option, amount)
    ok = {"model": "poet", "messages": POEM}
    spent = 0.0
    status = 200
    while status == 200:
        asked_s = time.time()
        status, body, headers = server.post(CHAT, ok, bearer(made))
        spent += body["shoal"]["cost_usd" if unit == "USD" else "energy_j"] if status == 200 else 0
    assert spent >= float(amount)
    assert (status, body["error"]["type"], body["error"]["code"]) == (429, "insufficient_quota", "insufficient_quota")
    assert unit in body["error"]["message"]
    assert headers["x-should-retry"] == "false"
    day_ends_s = (asked_s // 86_400 + 1) * 86_400
    least, most = (day_ends_s - at for at in (time.time(), asked_s))
    told = int(headers["retry-after"])
    assert least <= told <= most + 1 or least <= 0 < told <= 86_400, "until 00:00 UTC, which may come meanwhile"
    server.stop()
    server.start()
    again = server.post(CHAT, ok, bearer(made))[0]
    assert again == 429 or datetime.now(UTC).date() > today  # at midnight a day's budget is whole again


FAR = """
  - id: {name}
    kind: openai
    description: a server of one's own
    url: http://127.0.0.1:9/v1
    model: m
    params_b: 3
    context: 4096
"""


def test_what_has_no_price_is_told_who_sets_a_budget_in_money(guarded: Server, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + FAR.format(name="far") + FAR.format(name="near"))

    def told(*options: str) -> str:
        done = guarded.shoal("keys", "create", "shop", "--registry", str(path), "--json", *options)
        assert done.returncode == 0 and json.loads(done.stdout)["key"]
        return done.stderr

    budget = ("--budget-usd-per-day", "2")
    said = "no price of cook, far, near, so what they cost is unknown and this budget does not count it"
    assert said in told(*budget)
    assert "no price of near, so what it costs is" in told(*budget, "--model", "near", "--model", "poet")
    assert "price" not in told(*budget, "--model", "poet", "--model", "encoder")
    assert "price" not in told("--budget-j-per-day", "2")


EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested


def test_a_made_key_is_enough_to_listen_beyond_this_machine(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    made = create(server, "network")
    server.stop()
    server.options = ("--host", EVERYWHERE)
    server.start()
    assert server.get("/v1/models")[0] == 401
    assert server.get("/v1/models", bearer(made) | {"host": "192.168.7.7:8080"})[0] == 200
    assert server.get("/v1/models", bearer(made) | {"host": "evil.example"})[0] == 421
    server.stop()
    assert server.shoal("keys", "revoke", made["id"]).returncode == 0
    done = server.shoal("serve", "--host", EVERYWHERE, "--port", str(server.port))
    assert done.returncode == 1
    assert "Will not listen" in done.stderr


def test_a_damaged_key_file_closes_the_doors(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    made = create(server, "shop")
    path = server.folder / "data" / "keys.sqlite"
    kept = path.read_bytes()
    path.write_bytes(b"damaged" * 1000)
    eventually(lambda: server.get("/v1/models", bearer(made))[0] == 503)
    status, body, headers = server.post(CHAT, {"model": "cook", "messages": POEM}, bearer(made))
    assert (status, body["error"]["code"]) == (503, "keys_unavailable")
    assert headers["retry-after"]
    assert server.get("/healthz")[0] == 200
    assert server.get("/readyz") == (503, b'{"ready":false}')
    path.write_bytes(kept)
    eventually(lambda: server.get("/v1/models", bearer(made))[0] == 200)
    assert server.get("/readyz") == (200, b'{"ready":true}')


def test_wrong_use_of_the_command(guarded: Server) -> None:
    for arguments, words in (
        (("--model", "nobody"), "there is no expert 'nobody'. Remedy: one of big, cook"),
        (("--admin", "--requests-per-minute", "3"), "a key made with --admin calls no model"),
        (("--figures", "--model", "cook"), "a key made with --figures calls no model"),
        (("--figures", "--admin"), "an admin key reads figures too"),
        (("--expires", "soon"), "neither days nor a date"),
        (("--expires", "2020-01-01"), "in the past"),
        (("--expires", "0d"), "0d is now, so the key would open nothing. Remedy: write 30d"),
    ):
        done = guarded.shoal("keys", "create", "x", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    for name in ("", " ", "two\nlines", "\x1b[31mred"):
        done = guarded.shoal("keys", "create", name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "is no name that lists can show" in done.stderr
    assert guarded.shoal("keys", "create").returncode == 2


def test_a_flood_of_wrong_keys_is_two_lines_of_the_log(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-right-key")
    for _ in range(300):
        assert server.get("/v1/models", {"authorization": "Bearer wrong"})[0] in (401, 429)
    assert server.get("/v1/models", {"authorization": "Bearer a-right-key"})[0] == 200
    server.stop()
    lines = [line for line in server.log().splitlines() if "wrong keys" in line]
    assert 1 <= len(lines) <= 2
    assert lines[-1].endswith("too many of them from 127.0.0.1; 300 since the start")


WAYS = ("{}", "{}/", "/{}", "{}//", "{};x", "{}%2f", "{}?x=1", "{}#x")


def test_every_endpoint_is_closed_but_health_and_the_empty_pages(guarded: Server) -> None:
    paths = json.loads(guarded.get("/openapi.json", {"authorization": "Bearer a-key-of-the-environment"})[1])["paths"]
    found = {re.sub(r"{\w+}", "auto", path) for path in paths} - OPEN_PATHS
    found |= {"/openapi.json", "/docs", "/redoc", "/admin", "/admin/ledger", "/", "/v1"}
    tried = 0
    for path in sorted(found):
        variants = {way.format(path) for way in WAYS} | {path.upper(), path.replace("/", "/./"), "/healthz/.." + path}
        for variant in variants:
            for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
                status, _, headers = guarded.send(method, variant, b"" if method in ("POST", "PUT") else None, None)
                assert status == 401, (method, variant, status)
                assert headers["www-authenticate"] == "Bearer"
                tried += 1
    assert tried > 500
    assert {"/healthz", "/readyz", "/dashboard", "/playground"} == OPEN_PATHS
    for path in OPEN_PATHS:
        assert guarded.get(path)[0] == 200
        for variant in (f"{path}/", f"/{path}", f"{path};x", path.upper(), f"/x/..{path}"):
            assert guarded.get(variant)[0] == 401, variant
    assert guarded.get("/web/css/theme.css")[0] == 200
    for inside in ("/web/../v1/models", "/web/x/../../metrics", "/web/%2e%2e/metrics", "/web//metrics"):
        assert guarded.get(inside)[0] == 404, inside
    assert guarded.get("/web/../admin/ledger")[0] == 401


REFUSED = (401, 429)
"""Wrong keys are told 429 once many came from here, and the tests of this module send many."""


def test_roles_of_keys_and_paths(guarded: Server) -> None:
    made = [create(guarded, "user"), create(guarded, "scraper", "--figures"), create(guarded, "boss", "--admin")]
    assert [key["role"] for key in made] == ["inference", "figures", "admin"]
    users, scrapers, admins = (
        (bearer(key), {"authorization": f"Bearer {given}"})
        for key, given in zip(made, ("a-key-of-the-environment", FIGURES_KEY, ADMIN_KEY), strict=True)
    )
    eventually(lambda: guarded.get("/admin/x", admins[0])[0] == 404)
    for path in ("/admin", "/admin/ledger", "//admin/ledger", "/ADMIN/ledger", "/x/../admin/ledger", "/v1/../admin"):
        assert {refusal(guarded, path, key) for key in users + scrapers} == {(403, "key_not_allowed")}, path
        assert {guarded.get(path, key)[0] for key in admins} <= {200, 404}, path
    for path in ("/v1/models", "/openapi.json", "/v1/responses/x", "/metrics/", "/metrics%0a", "/v1/none"):
        assert {refusal(guarded, path, key) for key in scrapers + admins} == {(403, "key_not_allowed")}, path
    for path in ("/metrics", "/v1/dashboard"):
        assert {refusal(guarded, path, key) for key in users} == {(403, "figures_not_allowed")}, path
        assert {guarded.get(path, key)[0] for key in scrapers + admins} == {200}, path
    assert {refusal(guarded, "/metrics%0a", key) for key in users} == {(403, "figures_not_allowed")}
    for key in scrapers + admins:
        status, body, _ = guarded.post(CHAT, {"model": "cook", "messages": POEM}, key)
        assert (status, body["error"]["code"]) == (403, "key_not_allowed")
        assert "shoal keys create NAME" in body["error"]["message"]
        assert "key" not in json.loads(guarded.get("/v1/meter", key)[1])  # all keys' figures, not its own
    listed = {key["id"]: key["role"] for key in json.loads(guarded.shoal("keys", "list", "--json").stdout)}
    assert listed.items() >= {key["id"]: key["role"] for key in made}.items()
    assert guarded.shoal("keys", "revoke", made[1]["id"]).returncode == 0
    eventually(lambda: guarded.get("/metrics", scrapers[0])[0] in REFUSED)


KEYS = {"inference": "a-key-of-the-environment", "figures": FIGURES_KEY, "admin": ADMIN_KEY}


@pytest.mark.parametrize("role", KEYS)
def test_every_endpoint_opens_to_the_roles_it_is_for_and_to_no_other(guarded: Server, role: Role) -> None:
    key, seen = {"authorization": f"Bearer {KEYS[role]}", "content-type": "application/json"}, set()
    for known in OPERATIONS:
        path = re.sub(r"{\w+}", "x", known.path)
        data = b"{}" if known.body is not None else None
        status, body, _ = guarded.send(known.method.upper(), path, data, key)
        code = json.loads(body)["error"]["code"] if status == 403 else None
        if known.open or (path in FIGURES and role != "inference"):
            assert status == 200, path
        elif path in FIGURES:
            assert (status, code) == ((200, None) if path == "/v1/meter" else (403, "figures_not_allowed")), path
        elif (role == "admin") is not known.admin or role == "figures":
            assert (status, code) == (403, "key_not_allowed"), path
        else:
            assert status not in (401, 403), path
        seen.add(status)
    assert {200, 403} <= seen


def refusal(server: Server, path: str, key: dict[str, str]) -> tuple[int, str]:
    """The status and the code of an error."""
    status, body = server.get(path, key)
    return status, json.loads(body)["error"]["code"]


def test_the_request_to_try_works_as_it_is_printed(
    start: Callable[..., Server], shared: Server, tmp_path: Path
) -> None:
    """Read as a shell would, with a key of one's own in the place of the word that stands for it."""
    keyed = start(write_registry(tmp_path), SHOAL_API_KEYS=KEYS["inference"])
    for server, headers in ((shared, {"content-type"}), (keyed, {"content-type", "authorization"})):
        line = next(line for line in server.log().splitlines() if line.startswith("Try: curl "))
        words = shlex.split(line.replace("YOUR_KEY", KEYS["inference"]))
        given = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
        assert set(given) == headers
        path = words[2].removeprefix(server.base)
        assert server.send("POST", path, words[words.index("-d") + 1].encode(), given)[0] == 200


def test_allowed_hosts(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_ALLOWED_HOSTS="models.example, other.example")
    for host, status in (("models.example", 200), ("Other.Example:8080", 200), ("third.example", 421)):
        assert server.send("GET", "/v1/models", None, {"host": host})[0] == status


def test_readiness_tells_details_to_who_may_see_all_figures_and_to_nobody_else(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    path = write_registry(tmp_path)
    keys = {"SHOAL_API_KEYS": KEYS["inference"], "SHOAL_ADMIN_KEY": ADMIN_KEY, "SHOAL_FIGURES_KEY": FIGURES_KEY}
    server = start(path, **keys)
    path.write_text(path.read_text().replace("fallback: big", "fallback: nobody"))
    admin = bearer({"key": ADMIN_KEY})
    eventually(lambda: json.loads(server.get("/readyz", admin)[1])["registry"]["refused_edit"] is not None)
    for key in (admin, {"x-api-key": ADMIN_KEY}, bearer({"key": FIGURES_KEY})):
        told = json.loads(server.get("/readyz", key)[1])
        assert told.keys() == {"ready", "reason", "registry", "promises", "experts"}
        assert "nobody" in told["registry"]["refused_edit"][0]
    for key in ({}, bearer({"key": KEYS["inference"]}), bearer({"key": "a-key-of-nobody"})):
        assert server.get("/readyz", key) == (200, b'{"ready":true}')
    assert {server.get("/readyz", bearer({"key": f"guess-{at}"})) for at in range(40)} == {(200, b'{"ready":true}')}
    assert server.get("/v1/models", bearer({"key": "one-guess-more"}))[0] == 429, "each wrong key counted as a guess"


def test_keys_of_models_that_are_gone_are_named_in_the_log(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_FALLBACK_MODEL="m8")
    idle = "SHOAL_FALLBACK_MODEL has no effect without SHOAL_FALLBACK_URL. Remedy: "
    assert server.log().count(idle) == server.shoal("registry", "check").stderr.count(idle) == 1
    made = create(server, "kitchen", "--model", "cook", "--model", "poet")
    create(server, "shop", "--model", "big")
    gone = f"keys are limited to models that are not in the registry: kitchen ({made['id']}: cook). Remedy: "
    assert "that are not in the registry" not in server.log()
    server.registry.write_text(server.registry.read_text().replace("id: cook", "id: chef"))
    eventually(lambda: server.log().count(gone) == 1)
    server.stop()
    server.start()
    assert server.log().count(gone) == 2
    assert server.log().count("that are not in the registry") == 2
