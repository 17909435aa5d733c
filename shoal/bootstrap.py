"""Make .venv hold what a lock file names, and `.venv/bin/shoal` start this clone.

    python3 -I shoal/bootstrap.py serve|test

Standard library only, for it runs before anything is installed. A stamp in .venv says what was finished there: while
it is true a run does nothing, and while an install is under way it says so, so that a broken one is begun afresh
(pip keeps what it has downloaded). The project itself is not built or copied: a path file points at the clone.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PYTHON_VERSION = ".".join(platform.python_version_tuple()[:2])

SATISFIES = {"serve": ("serve",), "test": ("serve", "test")}
"""Lock name -> the locks that hold once it is installed; test.txt is made on top of serve.txt."""

# The lock is whole and pinned, so pip need not resolve; Python compiles what it imports when it first does.
PIP = ("-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile")
QUIET = ("--no-input", "--progress-bar", "off", "--disable-pip-version-check", "--no-warn-script-location")

# A shell reads the first two lines and starts Python, which reads them as a string: a `#!` line of its own could hold
# neither a space nor a long path. -P keeps the folder of the script off the import path.
LAUNCHER = """#!/bin/sh
'''exec' {python} -P "$0" "$@"
' '''
import sys

from shoal.__main__ import main

if __name__ == "__main__":  # server workers are spawned, and read this file again
    sys.exit(main())
"""

FAILURES = (
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n\s+(\S+)",
        "the file that came for {0} is not the one whose hash is pinned",
        "look at the mirror or proxy in between, then run it again",
    ),
    (r"No space left on device|Disk quota exceeded", "the disk is full", "free some space, then run it again"),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the package index shows a certificate that is not trusted here",
        "set PIP_CERT to your proxy's certificate, then run it again",
    ),
    (
        r"connection broken by|Max retries exceeded|Could not fetch URL|timed out|Connection reset|IncompleteRead",
        "the package index cannot be reached, or the download broke off",
        "check the network or proxy, then run it again: what was downloaded is kept",
    ),
    (
        r"No matching distribution found for (\S+)",
        "there is no wheel of {0} for {platform}",
        "use CPython 3.11 to 3.14 on Linux (x86_64, aarch64) or macOS 14 (Apple silicon), or set PIP_INDEX_URL"
        " to an index that has it",
    ),
)
"""What pip prints -> cause, remedy; tried in order."""


class BootstrapError(Exception):
    """The environment cannot be made; the message is one line with the cause and the remedy."""


@dataclass(frozen=True)
class Environment:
    """The virtual environment of one clone."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages lie, for the Python that runs this."""
        return self.folder / "lib" / f"python{PYTHON_VERSION}" / "site-packages"

    @property
    def log(self) -> Path:
        """What pip said last."""
        return self.folder / "install.log"

    @property
    def _stamp(self) -> Path:
        return self.folder / "shoal-environment.json"

    @property
    def _identity(self) -> dict[str, str]:
        return {"root": str(self.root), "python": PYTHON_VERSION}

    def finished(self) -> dict[str, str] | None:
        """Lock name -> sha256 of each lock installed whole; None when nobody stamped the environment.

        Empty when the install was broken off, or was of another Python or another place: then none of it is to be
        trusted.
        """
        try:
            stamp = json.loads(self._stamp.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        same = all(stamp.get(key) == value for key, value in self._identity.items())
        return dict(stamp["locks"]) if same and self.python.exists() else {}

    def stamp(self, locks: dict[str, str]) -> None:
        """Note what is installed; an empty `locks` says that an install is under way."""
        half = self._stamp.with_suffix(".half")
        half.write_text(json.dumps({**self._identity, "locks": locks}, indent=1) + "\n")
        half.replace(self._stamp)

    def create(self) -> None:
        """Make it anew. Raises BootstrapError when this Python cannot."""
        if importlib.util.find_spec("ensurepip") is None:
            raise BootstrapError(
                f"Python {PYTHON_VERSION} here cannot make virtual environments."
                " Remedy: install its venv package (Debian, Ubuntu: apt install python3-venv), then run it again"
            )
        for child in self.folder.iterdir():
            if child.name != LOCK_FILE:
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        self.stamp({})
        try:
            venv.create(self.folder, symlinks=True, with_pip=True)
        except subprocess.CalledProcessError as error:
            self.log.write_bytes(error.output or b"")
            raise BootstrapError(
                f"cannot put pip into {self.folder}. Remedy: see {self.log}, then run it again"
            ) from error

    def install(self, lock: Path, turn: int) -> None:
        """Install every package of `lock`. Raises BootstrapError.

        pip holds the file descriptor `turn` too, so that no one else begins while a pip lives whose parent was killed.
        """
        command = [str(self.python), "-I", *PIP, *QUIET, "--requirement", str(lock)]
        progress = Progress(len(re.findall(r"(?m)^[^\s#]", lock.read_text())))
        with (
            self.log.open("w") as log,
            subprocess.Popen(  # noqa: S603 - a fixed command
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[turn]
            ) as pip,
        ):
            for line in pip.stdout or ():
                log.write(line)
                progress.see(line)
        progress.close()
        if pip.returncode:
            raise BootstrapError(f"cannot install {lock.name}: {explain(self.log.read_text())} (log: {self.log})")

    def link(self) -> None:
        """Let this environment import the clone's packages from anywhere, and start them as `shoal`."""
        (self.site_packages / "shoal.pth").write_text(f"{self.root}\n")
        launcher = self.folder / "bin" / "shoal"
        launcher.write_text(LAUNCHER.format(python=shlex.quote(str(self.python))))
        launcher.chmod(0o755)


LOCK_FILE = "bootstrap.lock"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Let one process at a time change `folder`, which is made when missing; the others wait.

    Gives the file descriptor that is this process's turn: it lasts while any process holds it open.
    """
    folder.mkdir(exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another make is preparing .venv; waiting for it ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


class Progress:
    """One line on a terminal that counts packages as pip names them; silent elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._shown = sys.stdout.isatty()

    def see(self, line: str) -> None:
        """Read one line of pip's."""
        if line.startswith(("Collecting ", "Requirement already satisfied")):
            self._seen += 1
            self._show(f"{self._seen} of at most {self._total} packages")
        elif line.startswith("Installing collected packages"):
            self._show("unpacking")

    def close(self) -> None:
        """Wipe the line."""
        self._show("")

    def _show(self, text: str) -> None:
        if self._shown:
            print(f"\r\x1b[K  {text}" if text else "\r\x1b[K", end="", flush=True)


def explain(output: str) -> str:
    """Why pip failed and what to do about it, in one line, from what it printed."""
    for pattern, cause, remedy in FAILURES:
        found = re.search(pattern, output)
        if found:
            where = f"Python {PYTHON_VERSION} on {platform.system()} {platform.machine()}"
            return f"{cause.format(*found.groups(), platform=where)}. Remedy: {remedy}"
    errors = re.findall(r"(?m)^ERROR: (.+)$", output)
    said = f"pip says: {errors[-1]}" if errors else "pip was stopped"
    return f"{said}. Remedy: see its log, then run it again"


def prepare(root: Path, name: str) -> None:
    """Bring the environment of the clone at `root` to lock `name`. Raises BootstrapError and OSError."""
    environment = Environment(root)
    with alone(environment.folder) as turn:
        locks = {each: root / "requirements" / f"{each}.txt" for each in SATISFIES[name]}
        wanted = {each: hashlib.sha256(path.read_bytes()).hexdigest() for each, path in locks.items()}
        finished = environment.finished()
        if finished is not None and wanted.items() <= finished.items():
            return
        started = time.monotonic()
        by_hand = finished is None and environment.python.exists() and environment.site_packages.is_dir()
        changed = finished is not None and any(finished.get(each, sha) != sha for each, sha in wanted.items())
        if changed or not (finished or by_hand):
            print(f"Making .venv with Python {platform.python_version()}", flush=True)
            environment.create()
        environment.stamp({})
        lock = locks[name].relative_to(root)
        print(f"Installing what {lock} pins, hashes checked (log: .venv/{environment.log.name})", flush=True)
        environment.install(locks[name], turn)
        environment.link()
        environment.stamp(wanted)
        print(f".venv is ready, after {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Prepare the environment that the first argument names; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="bootstrap.py", description="Make .venv hold what a lock file names.")
    parser.add_argument("lock", choices=sorted(SATISFIES))
    root = Path(__file__).resolve().parent.parent
    try:
        prepare(root, parser.parse_args().lock)
    except BootstrapError as error:
        print(f"shoal: {error}", file=sys.stderr)
    except OSError as error:
        print(f"shoal: cannot prepare {root / '.venv'}: {error}. Remedy: mend that, then run it again", file=sys.stderr)
    except KeyboardInterrupt:
        print("shoal: stopped. Remedy: run it again, what was downloaded is kept", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
