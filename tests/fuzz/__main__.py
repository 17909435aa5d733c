"""make fuzz: 20,000 requests from our own OpenAPI document against a server of scripted experts, on every core."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import track

from tests.fuzz.asking import Findings, ask
from tests.fuzz.slices import slices
from tests.service.server import Server, write_registry


def main() -> int:
    """Ask, print what was found, and give the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), write_registry(Path(folder)))
        server.start()
        try:
            started = time.monotonic()
            findings = fuzz(server, chosen.cases, chosen.seed, chosen.processes)
        finally:
            server.stop()
    for name, told in sorted(findings.wrong.items()):
        print(f"{name}\n  {told}\n")
    took_s = time.monotonic() - started
    print(f"{findings.cases:,} requests in {took_s:.0f} s, {len(findings.wrong)} things found")
    return 1 if findings.wrong or findings.cases < chosen.cases else 0


def fuzz(server: Server, cases: int, seed: int, processes: int) -> Findings:
    """Ask at least `cases` times, spread evenly over the slices of the document."""
    pieces = slices(json.loads(server.get("/openapi.json")[1]))
    with_body = [piece for piece in pieces if len(piece.name.split()) > 2]
    alone = [piece for piece in pieces if piece not in with_body]
    each, rest = 20, Findings()
    share = max(0, cases - each * len(alone)) // len(with_body) + 1
    work = [(piece, each) for piece in alone] + [(piece, share) for piece in with_body]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        asked = [pool.submit(ask, piece, server.base, count, seed) for piece, count in work]
        for done in track(as_completed(asked), "Asking", len(asked), disable=not sys.stderr.isatty()):
            rest.add(done.result())
        round_ = 1
        while rest.cases < cases and round_ < 5:  # Hypothesis stops early where a slice has few values
            short = (cases - rest.cases) // len(with_body) + 1
            more = [pool.submit(ask, piece, server.base, short, seed + round_) for piece in with_body]
            for done in as_completed(more):
                rest.add(done.result())
            round_ += 1
    return rest


if __name__ == "__main__":
    sys.exit(main())
