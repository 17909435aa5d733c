from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.bench.__main__ import app
from eval.bench.errors import BenchError
from eval.bench.load import Address, Tally, fault, largest_gaps_ns, post, window
from eval.bench.machine import commit, disk, machine
from eval.bench.processes import Cores, shoal, upstream
from eval.bench.prompts import REPEATED, TOKENS, check_length, distinct_prompts
from eval.bench.registry import bench_registry
from eval.bench.spread import Spread
from eval.bench.upstream import BURST, COMPLETION, EVENTS, JOINED, PACED, WRITES
from experts.registry import load_registry

ROOT = Path(__file__).parents[2]
STREAM = b"".join(WRITES)
CHOICES = b'"choices"'


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a real upstream in a process of its own."""
    with upstream(ROOT, Cores.of_this_machine().load) as found:
        yield found


def raw(port: int, sent: bytes, end: bytes) -> bytes:
    """What comes back for these bytes, up to and including `end`."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        answer = b""
        while not answer.endswith(end):
            part = connection.recv(65536)
            assert part, answer
            answer += part
        return answer


@asynccontextmanager
async def answering(answer: bytes, times: int = 1_000_000, when: asyncio.Event | None = None) -> AsyncIterator[int]:
    """A server that gives every request this answer, not before `when`, and closes after so many of them; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            if not await reader.read(65536):
                break
            if when is not None:
                await when.wait()
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class TestUpstream:
    def test_answers_whole(self, port: int) -> None:
        answer = raw(port, post(port, BURST, "hello"), COMPLETION[-20:])
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"]
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]

    @pytest.mark.parametrize("model", [BURST, PACED, JOINED])
    def test_streams_33_events_then_done(self, port: int, model: str) -> None:
        answer = raw(port, post(port, model, "hello", stream=True), b"\r\n0\r\n\r\n")
        assert answer == STREAM
        datas = [line[6:] for line in answer.split(b"\n") if line.startswith(b"data: ")]
        assert len(datas) == EVENTS + 1 == 34
        assert datas[-1] == b"[DONE]"
        chunks = [json.loads(data) for data in datas[:-1]]
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert sum(bool(c["choices"] and c["choices"][0]["delta"].get("content")) for c in chunks) == 30
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]

    def test_a_request_in_pieces_and_two_at_once(self, port: int) -> None:
        request = post(port, BURST, "hello")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in (request[:10], request[10:-5], request[-5:] + request):
                connection.sendall(part)
            answer = b""
            while len(answer) < 2 * len(COMPLETION):
                answer += connection.recv(65536)
        assert answer == COMPLETION * 2

    @pytest.mark.parametrize(
        ("path", "status", "word"), [("/v1/models", 200, b"data"), ("/health", 200, b"ok"), ("/no", 404, b"error")]
    )
    def test_other_paths(self, port: int, path: str, status: int, word: bytes) -> None:
        answer = raw(port, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode(), b"}")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert word in answer

    def test_ends_with_whoever_started_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            command = [sys.executable, "-m", "eval.bench.upstream", str(fd)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, pass_fds=[fd])
            raw(listener.getsockname()[1], b"GET /health HTTP/1.1\r\n\r\n", b"}")
        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0


class TestFault:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    body = STREAM.partition(b"\r\n\r\n")[2]

    def test_right_answers(self) -> None:
        assert fault(self.head, b'{"choices": []}', CHOICES) is None
        assert fault(self.stream_head, self.body, CHOICES) is None

    @pytest.mark.parametrize(
        ("head", "body", "why"),
        [
            (b"HTTP/1.1 503 Busy\r\n\r\n", b'{"choices": "busy"}', "status 503: .*busy"),
            (head, b'{"error": "oh"}', 'without "choices": .*oh'),
            (stream_head, body[:-40], r"does not end with \[DONE\]"),
            (stream_head, body.replace(b"data: {", b"data= {", 1), "of 32 events, not 33"),
        ],
    )
    def test_wrong_answers(self, head: bytes, body: bytes, why: str) -> None:
        found = fault(head, body, CHOICES)
        assert found is not None
        assert re.search(why, found)


class TestWindow:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_counts_answers(self, port: int, stream: bool) -> None:
        clock = itertools.count(0, 5_000_000).__next__
        requests = itertools.repeat(post(port, BURST, "hello", stream))
        seen = await window(Address(port, CHOICES), requests, 4, 0.05, 0.2, clock)
        assert seen.tally.errors == 0, seen.tally.first_error
        assert seen.tally.answers == len(seen.tally.latencies_ns) == seen.tally.experts[""] > 0
        assert seen.outside > 0
        assert seen.cpu_ns == 5_000_000
        assert seen.cpu_us == pytest.approx(5_000 / seen.tally.answers)

    async def test_goes_on_until_something_was_answered(self) -> None:
        begun = asyncio.Event()  # the clock is read when the window begins; before that nothing is answered
        async with answering(COMPLETION, when=begun) as port:
            seen = await window(Address(port, CHOICES), itertools.repeat(b"x"), 1, 0.05, 0.0, lambda: begun.set() or 0)
        assert seen.tally.answers > 0
        assert seen.tally.errors == 0

    async def test_every_request_is_sent_once(self) -> None:
        sent = itertools.count()
        numbered = (post(1, "m", str(number)) for number in sent)
        async with answering(COMPLETION) as port:
            seen = await window(Address(port, CHOICES), numbered, 3, 0.05, 0.1, lambda: 0)
        assert seen.tally.errors == 0, seen.tally.first_error
        assert seen.tally.answers + seen.outside == next(sent)

    async def test_names_the_expert(self) -> None:
        answer = COMPLETION.replace(b"\r\n\r\n", b"\r\nX-Shoal-Expert: chat\r\n\r\n", 1)
        async with answering(answer) as port:
            seen = await window(Address(port, CHOICES), itertools.repeat(b"x"), 1, 0.05, 0.1, lambda: 0)
        assert set(seen.tally.experts) == {"chat"}

    async def test_counts_wrong_answers_of_the_settling_time_too(self) -> None:
        async with answering(b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}") as port:
            seen = await window(Address(port), itertools.repeat(b"x"), 1, 0.05, 0.0, lambda: 0)
        assert seen.tally.errors > 0
        assert seen.tally.first_error == "status 500: {}"

    async def test_counts_an_answer_that_breaks_off(self) -> None:
        async with answering(STREAM[:-100], times=1) as port:
            seen = await window(Address(port, CHOICES), itertools.repeat(b"x"), 2, 0.05, 0.05, lambda: 0)
        assert seen.tally.errors == 2
        assert "closed in the middle" in str(seen.tally.first_error)

    async def test_the_largest_gap_of_each_stream(self, port: int) -> None:
        gaps = await largest_gaps_ns(Address(port, CHOICES), post(port, PACED, "hello", stream=True), 3)
        assert len(gaps) == 3
        assert min(gaps) >= 500_000  # it pauses a millisecond between events

    async def test_a_wrong_stream_has_no_gap(self, port: int) -> None:
        with pytest.raises(BenchError, match="without"):
            await largest_gaps_ns(Address(port), post(port, BURST, "hello", stream=True), 1)


class TestPrompts:
    def test_all_different_and_of_one_length(self) -> None:
        prompts = list(itertools.islice(distinct_prompts(3), 20_000))
        assert len(set(prompts)) == len(prompts)
        check_length([*prompts[:500], REPEATED], ROOT / "router/encoder/tokenizer.json")

    def test_every_word_is_one_token(self) -> None:
        words = {word for prompt in itertools.islice(distinct_prompts(0), 2_000) for word in prompt.split()}
        assert len(words) > 40
        assert len(REPEATED.split()) == TOKENS
        check_length([" ".join([word] * TOKENS) for word in words], ROOT / "router/encoder/tokenizer.json")

    def test_the_seed_gives_the_order(self) -> None:
        first, again, other = (list(itertools.islice(distinct_prompts(seed), 50)) for seed in (1, 1, 2))
        assert first == again != other

    def test_another_length_is_refused(self) -> None:
        with pytest.raises(BenchError, match=r"'too short' has 2 tokens .* not 12"):
            check_length(["too short"], ROOT / "router/encoder/tokenizer.json")


def test_the_registry_is_the_shipped_one_with_the_upstream_for_every_model(tmp_path: Path) -> None:
    made = tmp_path / "registry.yaml"
    made.write_text(json.dumps(bench_registry(ROOT / "registry.yaml", 4321)))
    shipped, found = load_registry(ROOT / "registry.yaml", {}).registry, load_registry(made, {}).registry
    assert [spec.id for spec in found.experts] == [*[spec.id for spec in shipped.experts], PACED]
    assert (found.encoder, found.policies, found.fallback) == (shipped.encoder, shipped.policies, shipped.fallback)
    for before, after in zip(shipped.experts, found.experts, strict=False):
        assert after.examples == before.examples
        if before.kind in ("llama_cpp", "openai"):
            assert (after.kind, str(getattr(after, "url", ""))) == ("openai", "http://127.0.0.1:4321/v1")
        else:
            assert after == before
    assert found.expert(PACED).examples is None


def test_spread() -> None:
    found = Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (found.n, found.min, found.q1, found.median, found.q3, found.max) == (5, 1, 2, 3, 4, 5)
    assert found.to_json()["median"] == 3.0
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_a_tally_keeps_the_first_error() -> None:
    tally = Tally()
    tally.wrong("one")
    tally.wrong("two")
    assert (tally.errors, tally.first_error, tally.answers) == (2, "one", 0)


def test_machine_and_disk(tmp_path: Path) -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["memory_gb"] > 0
    assert found["cpu"]
    assert found["vnni"] is ("vnni" in Path("/proc/cpuinfo").read_text())
    assert found["python"].startswith("3.")
    assert disk(tmp_path)["filesystem"]
    assert list(tmp_path.iterdir()) == []


class TestCommit:
    def test_a_clean_clone_a_changed_one_and_none(self, tmp_path: Path) -> None:
        assert commit(tmp_path) == (None, True)
        git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
        (tmp_path / "file").write_text("one")
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
            subprocess.run([*git, *words], check=True)
        head, dirty = commit(tmp_path)
        assert head is not None
        assert len(head) == 40
        assert not dirty
        (tmp_path / "README.md").write_text("its table")
        assert commit(tmp_path) == (head, False)
        (tmp_path / "file").write_text("two")
        assert commit(tmp_path) == (head, True)


def test_a_shoal_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text("version: 7\n")
    running = shoal(ROOT, registry, tmp_path, Cores.of_this_machine().shoal)
    with pytest.raises(BenchError, match=r"ended with 1.*\n.*registry\.yaml"), running:
        pass


def test_a_quick_measurement_of_the_real_thing(tmp_path: Path) -> None:
    out = tmp_path / "results" / "bench.json"
    command = [sys.executable, "-m", "eval.bench", "--quick", "--json", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found == json.loads(done.stdout)
    assert {"commit", "dirty", "date", "machine", "command", "seed", "figures", "spread", "detail"} <= set(found)
    figures = found["figures"]
    assert {"named_us", "stream_us", "routed_us", "repeat_us", "rss_mb", "stall_ms"} <= set(figures)
    assert all(value > 0 for value in figures.values())
    detail = found["detail"]
    fallback = load_registry(ROOT / "registry.yaml", {}).registry.fallback
    assert set(detail["loads"]["named_us"]["answered_by"]) == {fallback}
    assert set(detail["loads"]["stream_paced_us"]["answered_by"]) == {PACED}
    assert detail["ledger"]["requests"] == detail["answers"]
    assert detail["ledger"]["filesystem"] != "tmpfs"


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "0"], ["--no-such"]])
def test_wrong_usage_is_told(arguments: list[str]) -> None:
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 2
    assert arguments[0] in told.output
