"""A measurement as a table on the terminal."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

ROWS: Final = {
    "named_us": "a named expert",
    "stream_us": "stream of 33 events",
    "stream_paced_us": "stream, 1 ms apart",
    "routed_us": "auto, new prompt",
    "repeat_us": "auto, same prompt",
}


def show(found: dict[str, Any]) -> None:
    """Print what bench.json holds, for people."""
    out = Console()
    figures, spread, detail = found["figures"], found["spread"], found["detail"]
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("own CPU time")
    for title in ("median us", "quartiles", "range", "per s", "p50 / p99 ms"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, title in ROWS.items():
        here, load = spread[name], detail["loads"][name]
        table.add_row(
            title,
            Text(f"{figures[name]:,.0f}", "bold green"),
            f"{here['q1']:,.0f}-{here['q3']:,.0f}",
            f"{here['min']:,.0f}-{here['max']:,.0f}",
            f"{load['per_s']:,.0f}",
            f"{load['p50_ms']:.2f} / {load['p99_ms']:.2f}",
        )
    out.print(table)
    floor, ledger = detail["floor_per_s"], detail["ledger"]
    for line in (
        f"memory {figures['rss_mb']:.0f} MB; longest wait within a stream {figures['stall_ms']:.2f} ms "
        f"(median {spread['stall_ms']['median']:.2f})",
        f"load and upstream alone: {floor['plain']:,}/s, {floor['stream']:,} streams/s",
        f"ledger: {ledger['requests']:,} requests, every one durable on {ledger['filesystem']} "
        f"({ledger['fsync_us']:,.0f} us an fsync)",
        f"{found['machine']['cpu']}, {found['machine']['cores']} cores, Python {found['machine']['python']}",
    ):
        out.print(Text(line, "dim"))
