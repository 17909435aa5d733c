"""Starting and stopping: what goes wrong ends in one clear line with a remedy."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import typer

from router.meter.ledger import read_ledger
from router.settings import PLAIN
from shoal.__main__ import app
from tests.service.server import CACHE, ROOT, Server, write_registry

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - refused, which is what is tested


def serve(registry: Path, folder: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    command = [sys.executable, "-m", "shoal", "serve", "--registry", str(registry), *options]
    full = {"PATH": "/usr/bin:/bin", "SHOAL_DATA_DIR": str(folder / "data"), **env}
    return subprocess.run(command, cwd=ROOT, env=full, capture_output=True, text=True)


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(write_registry(tmp_path), tmp_path, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"shoal: port {port} on 127.0.0.1 is busy. Remedy: ")
    assert "Traceback" not in done.stderr


def test_no_listening_beyond_this_machine_without_a_strong_key(tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    for keys in ("", "short"):
        done = serve(registry, tmp_path, "--host", EVERYWHERE, "--port", "0", SHOAL_API_KEYS=keys)
        assert done.returncode == 1
        assert f"Will not listen on {EVERYWHERE}" in done.stderr
        assert "Remedy: " in done.stderr


def test_an_invalid_registry_is_told_whole(tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    registry.write_text(registry.read_text().replace("fallback: big", "fallback: nobody").replace("0.7", "7"))
    done = serve(registry, tmp_path, "--port", "0")
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "registry.yaml:" in line]) == 2
    assert "Traceback" not in done.stderr


def test_a_changed_encoder_is_one_line(tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    text = registry.read_text()
    digest = text.split("sha256: ", 1)[1][:64]
    registry.write_text(text.replace(digest, "0" * 64))
    done = serve(registry, tmp_path, "--port", "0")
    assert done.returncode == 1
    assert "sha256" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert serve(tmp_path / "none.yaml", tmp_path, "--prot", "1").returncode == 2
    assert serve(tmp_path / "none.yaml", tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("options", "env", "said"),
    [
        ((), {"SHOAL_PORT": "http"}, "SHOAL_PORT: 'http' cannot be used. Remedy: write a whole number"),
        ((), {"SHOAL_PORT": "65536"}, "SHOAL_PORT: '65536' cannot be used."),
        (("--port", "65536"), {"SHOAL_PORT": "80"}, "--port: 65536 cannot be used. Remedy: write a whole number"),
        ((), {"SHOAL_STRICT": "perhaps"}, "SHOAL_STRICT: 'perhaps' cannot be used. Remedy: write 1 or 0"),
        ((), {"SHOAL_RESPONSES_DAYS": "-1"}, "SHOAL_RESPONSES_DAYS: '-1' cannot be used."),
        ((), {"SHOAL_API_KEYS": "a", "SHOAL_ADMIN_KEY": "a"}, "SHOAL_ADMIN_KEY is also in SHOAL_API_KEYS. Remedy: "),
        ((), {"SHOAL_FIGURES_KEY": "a", "SHOAL_ADMIN_KEY": "a"}, "SHOAL_FIGURES_KEY is also in SHOAL_ADMIN_KEY. "),
        ((), {"SHOAL_DATABASE_URL": "postgresql://x"}, "SHOAL_DATABASE_URL: no other database can be had yet. Remedy"),
        ((), {"SHOAL_DATABASE_URL": "sqlite:///"}, "SHOAL_DATABASE_URL: no other database can be had yet. Remedy"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_given(
    tmp_path: Path, options: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    done = serve(write_registry(tmp_path), tmp_path, *options, **env)
    assert done.returncode == 2
    assert done.stderr.startswith(f"shoal: {said}")
    assert done.stderr.count("\n") == 1


def test_the_ledger_lies_where_the_database_url_says(start: Callable[..., Server], tmp_path: Path) -> None:
    other = tmp_path / "books.sqlite"
    server = start(write_registry(tmp_path), SHOAL_DATABASE_URL=f"sqlite:///{other}")
    assert (
        server.post("/v1/chat/completions", {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]})[0]
        == 200
    )
    server.stop()
    with closing(read_ledger(other)) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (1,)
    assert not server.ledger.exists()


def test_every_option_that_a_setting_names_exists() -> None:
    command = typer.main.get_command(app).commands["serve"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {key for key, (variable, _) in PLAIN.items() if f"--{key}" in options} == {"host", "port"}


def test_two_workers_share_a_port_and_a_ledger(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), options=("--workers", "2"))
    poem = {"model": "auto", "messages": [{"role": "user", "content": "write a poem about the sea"}]}
    assert {server.post("/v1/chat/completions", poem)[1]["model"] for _ in range(8)} == {"poet"}
    assert server.report()["by_status"] == {"ok": 8}
    assert "Traceback" not in server.log()
    assert server.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("workers", "host", "shown"), [(1, LOOPBACK, LOOPBACK), (2, LOOPBACK, LOOPBACK), (1, "::1", "[::1]")]
)
def test_where_it_serves_is_told_to_machines(tmp_path: Path, workers: int, host: str, shown: str) -> None:
    registry = write_registry(tmp_path)
    command = [
        sys.executable, "-m", "shoal", "serve", "--registry", str(registry), "--port", "0", "--json", "--workers",
        str(workers), "--host", host,
    ]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    env["SHOAL_DATA_DIR"] = str(tmp_path / "data")
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        assert said == {
            "url": said["url"], "registry": str(registry), "workers": workers, "answers": workers == 1,
        }  # fmt: skip
        assert said["url"].startswith(f"http://{shown}:")
        if said["answers"]:
            with urllib.request.urlopen(said["url"].removesuffix("/v1") + "/healthz", timeout=60) as answer:
                assert answer.status == 200
        server.terminate()
        assert server.stdout.read() == b""


def test_sigterm_lets_a_stream_finish(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    slow = [{"role": "user", "content": "SLOW"}]
    stream = iter(server.client().chat.completions.create(model="poet", messages=slow, stream=True))
    next(stream)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert "ten" in "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert server.process.wait(20) in (0, -signal.SIGTERM)
    assert server.report()["by_status"] == {"ok": 1}


def test_a_first_start_without_room_for_a_judge_serves_and_says_what_where_and_the_remedy(tmp_path: Path) -> None:
    """The judge's head is larger than any file may become: nothing is left of it, and it is fitted at every start."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    for shared in ("weights", "vectors"):
        (data / shared).symlink_to(CACHE / shared)
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    env["SHOAL_DATA_DIR"] = str(data)
    command = [sys.executable, "-m", "shoal", "serve", "--port", "0", "--registry", "registry.yaml", "--json"]
    with (
        log.open("wb") as told,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=told, preexec_fn=limited) as server,
    ):
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        with urllib.request.urlopen(url.removesuffix("/v1") + "/healthz", timeout=60) as answer:
            assert answer.status == 200
        server.terminate()
    (line,) = [line for line in log.read_text().splitlines() if "cannot be kept" in line]
    assert f"{data / 'heads'}/judge-" in line
    assert "File too large (" in line
    assert line.endswith("MB free). Remedy: make room, or name another folder in SHOAL_DATA_DIR")
    assert list((data / "heads").iterdir()) == []
