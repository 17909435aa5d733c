"""A real Shoal in a process of its own, driven over a real socket as a client would."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.service.commands import command

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SHOAL_TEST_CACHE") or ROOT / ".shoal")
"""Weights and vectors are kept here between runs; every test has a ledger of its own."""

DRAWS = hashlib.sha256(b"who is held back in the tests").digest()
"""The key of the draws of every server whose data folder is new: the same conversations are held back in every run."""

ANNOUNCED = re.compile(rb"Shoal (?:serves|starts) [^\n]* on http://[^\n]*:(\d+)/v1")
PATIENCE_S = 120
"""How long anything that is about to come may take before a test gives it up; on a busy machine things take long."""

OPENED: list[OpenAI] = []
"""Clients handed out and not closed yet; one that nobody closes is a warning in whatever test runs when it goes."""


@dataclass
class Server:
    """A running `shoal serve`."""

    folder: Path
    registry: Path
    env: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    port: int = 0
    """0: any free one, which the first start finds; a later start takes the same."""
    process: subprocess.Popen[bytes] | None = None

    def start(self, ready: bool = True) -> Server:
        """Start it and wait until it is ready, or only until it answers."""
        data = self.folder / "data"
        if not data.exists():
            data.mkdir()
            (data / "holdback.key").write_bytes(DRAWS)
        for shared in ("weights", "vectors"):
            (CACHE / shared).mkdir(parents=True, exist_ok=True)
            if not (data / shared).exists():
                (data / shared).symlink_to(CACHE / shared)
        words = [sys.executable, "-m", "shoal", "serve", "--port", str(self.port), "--registry", str(self.registry)]
        words += self.options
        env = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
        env |= {"SHOAL_DATA_DIR": str(data), **self.env}
        with (self.folder / "log").open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.wait(lambda: self._announced(before))
        self.wait_for("/readyz" if ready else "/healthz")
        return self

    def _announced(self, before: int) -> bool:
        """Whether the log says, after its first `before` bytes, where it listens; keeps the port that was found."""
        told = ANNOUNCED.search((self.folder / "log").read_bytes(), before)
        if told:
            self.port = int(told[1])
        return told is not None

    def wait_for(self, path: str, status: int = 200) -> None:
        """Wait until GET `path` answers with `status`."""

        def answers() -> bool:
            try:
                return self.get(path)[0] == status
            except OSError:
                return False

        self.wait(answers)

    def wait(self, check: Callable[[], bool]) -> None:
        """Wait for what is about to be true of a server that runs."""

        def holds() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")
            return check()

        eventually(holds, self.log)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    @property
    def ledger(self) -> Path:
        """The file of its ledger."""
        return self.folder / "data" / "ledger.sqlite"

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of its ledger."""
        with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    @property
    def base(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> OpenAI:
        """The official client, told nothing but the base URL; a test's clients are closed when it ends."""
        opened = OpenAI(base_url=f"{self.base}/v1", **{"api_key": "unused", "max_retries": 0, **options})
        OPENED.append(opened)
        return opened

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a GET."""
        return self.send("GET", path, None, headers)[:2]

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
        """Status, parsed body and headers of a POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer, got = self.send("POST", path, data, {"content-type": "application/json", **(headers or {})})
        return status, json.loads(answer), got

    def send(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str] | None
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request, errors as answers."""
        request = urllib.request.Request(self.base + path, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}

    def shoal(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a `shoal` command on the same data."""
        whole = {
            **os.environ,
            "SHOAL_DATA_DIR": str(self.folder / "data"),
            "SHOAL_REGISTRY": str(self.registry),
            **self.env,
            **env,
        }
        return command(arguments, ROOT, whole, PATIENCE_S)

    def totals(self, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """What GET /v1/meter says: the report's figures, without the start of a command for each look."""
        status, body = self.get("/v1/meter", headers)
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def report(self) -> dict[str, Any]:
        """What `shoal meter report --json` says."""
        done = self.shoal("meter", "report", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def log(self) -> str:
        """Everything it printed."""
        return (self.folder / "log").read_text()


def eventually(check: Callable[[], bool], told: Callable[[], str] = str) -> None:
    """Wait for something that is about to be true; what `told` says is shown where it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, f"it never came true\n{told()}"
        time.sleep(0.02)


REGISTRY = """
version: 1
encoder: {{path: {root}/router/encoder, sha256: {sha256}}}
fallback: big
policies: {{balanced: {{threshold: 0.7}}, careful: {{threshold: 0.99}}}}
power: {{dynamic_w_per_core: 1.92, source: test, as_of: 2026-03-09}}
aliases: {{gpt-small: poet, gpt-auto: "auto:careful"}}
experts:
  - id: poet
    kind: scripted
    description: Writes poems
    script: poet.jsonl
    examples: poems.jsonl
    params_b: 0.1
    context: 4096
    capabilities: [stream, logprobs]
    price: {{input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.2, source: test, as_of: 2026-11-01}}
  - id: cook
    kind: scripted
    description: Knows recipes
    script: cook.jsonl
    examples: recipes.jsonl
    params_b: 0.2
    context: 4096
  - id: big
    kind: scripted
    description: Answers anything
    script: big.jsonl
    params_b: 8
    context: 65536
    capabilities: [stream, tools, json_object, json_schema, logprobs, logit_bias, n, seed, completions, infill]
    price: {{input_usd_per_mtok: 2, output_usd_per_mtok: 8, source: test, as_of: 2026-11-01}}
"""

WEATHER = [
    {"name": "get_weather", "arguments": {"city": "Paris"}},
    {"name": "get_weather", "arguments": {"city": "Oslo", "unit": "celsius"}},
]
"""What `big` calls when it hears of WEATHER and is offered the tool."""

TOWN = [{"name": name, "arguments": {"city": "Paris", "people": 2}} for name in ("Town", "PartialTown", "final_result")]
"""What `big` calls when it hears of TOWN: the tools by which client libraries ask for structured output."""

POEMS = [
    "write a poem about the sea", "a haiku on autumn leaves please", "compose a sonnet for my wife",
    "can you write verses about the moon", "rhyme something about my cat", "a limerick about a baker",
    "write me a short poem", "poem about rain in the city", "an ode to coffee", "two stanzas on longing",
]  # fmt: skip
RECIPES = [
    "how do I cook risotto", "recipe for banana bread", "what can I make with eggs and spinach",
    "how long to boil potatoes", "give me a curry recipe", "bake a chocolate cake", "how to roast a chicken",
    "a vegan dinner idea", "what goes into a carbonara", "steps to make sourdough",
]  # fmt: skip


def write_registry(folder: Path) -> Path:
    """The scripted registry, written to `folder`."""
    digest = hashlib.sha256((ROOT / "router/encoder/model.onnx").read_bytes()).hexdigest()
    rows(folder / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(folder / "recipes.jsonl", [{"input": text} for text in RECIPES])
    rows(
        folder / "poet.jsonl",
        [
            {"match": "BREAK", "fail": "failed"},
            {"match": "LATEFAIL", "fail": "failed", "delay_s": 1.2},
            {"match": "LATE", "reply": "Roses, at last.", "delay_s": 1.2},
            {"match": "CUT", "reply": "Roses are red, and then", "fail": "cut"},
            {"match": "SLOW", "reply": "one two three four five six seven eight nine ten", "delay_s": 0.4},
            {"match": "NEVER", "reply": "He thinks until the client leaves.", "delay_s": 3600},
            {"match": ".*", "reply": "Roses are red, violets are blue."},
        ],
    )
    rows(
        folder / "cook.jsonl",
        [{"match": "COOKFAIL", "fail": "unavailable"}, {"match": ".*", "reply": "Salt the water first."}],
    )
    rows(
        folder / "big.jsonl",
        [
            {"match": "BIGFAIL", "fail": "unavailable"},
            {"match": "WEATHER", "tool_calls": WEATHER, "reply": "It is {tool}."},
            {"match": "TOWN", "tool_calls": TOWN, "reply": json.dumps(TOWN[0]["arguments"])},
            {"match": "JSON", "reply": '{"city": "Paris", "people": 2}'},
            {"match": "LONG", "reply": "and so on " * 20},
            {"match": ".*", "reply": "Let me think about everything."},
        ],
    )
    path = folder / "registry.yaml"
    path.write_text(REGISTRY.format(root=ROOT, sha256=digest))
    return path


def rows(path: Path, values: list[dict[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def still(totals: dict[str, Any]) -> dict[str, Any]:
    """A report without idle energy, which grows with every second."""
    return {name: part for name, part in totals.items() if "idle" not in name}
