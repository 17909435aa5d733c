"""What `shoal meter overview` prints: the dashboard's figures as tables, all but the curves and the map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Column, Table
from rich.text import Text

from router.meter.units import dollars, watt_hours
from shoal.tables import table_of

Row = tuple[str, ...]
Part = tuple[Text | Table, ...]
"""What is printed together."""

ELSEWHERE: Final = (
    "Totals, savings and where energy figures come from: shoal meter report. The curves over time: --json (series, "
    "savings; where some money has no price, savings.priced_part is of the other requests alone); "
    "the fallback alone that stands in them is the same-token guess, so they do not add up to the savings told."
)
OF_A_SERVER: Final = (
    "What is loaded and its memory, how sure the judge is of known examples, and the map of recent requests: --server "
    "http://127.0.0.1:8080, for only a running server knows them (the map with --json)."
)


def parts(found: dict[str, Any]) -> Iterator[Part]:
    """Every table in turn, and what is to be found elsewhere."""
    yield _answered(found)
    yield _latency(found)
    yield from _escalations(found)
    yield from _break_even(found)
    yield *_calibration("by feedback", found["calibration"]), *_rated(found["calibration"]["small_experts"])
    if found.get("learnt", {}).get("left_out"):
        yield (Text("What was learnt from use is left out: shoal learn list says why, and what to do.", style="bold"),)
    if "left_out" in found:
        yield _calibration("by known examples, each judged by a head that had not seen it", found["left_out"])
    if "loaded" in found:
        yield from _loaded(found["loaded"], {one["id"]: one for one in found["experts"]})
    yield (Text(ELSEWHERE if "loaded" in found else f"{ELSEWHERE} {OF_A_SERVER}", style="dim"),)


def _table(title: str, columns: Row, rows: list[Row]) -> Part:
    head = Text(title, style="bold")
    if not rows:
        return head, Text("nothing yet", style="dim")
    table = table_of(*(Column(name, justify="right" if place else "left") for place, name in enumerate(columns)))
    for row in rows:
        table.add_row(*row)
    return head, table


def _answered(found: dict[str, Any]) -> Part:
    rows: list[Row] = [
        (who, f"{one['requests']:,}", f"{one['share']:.1%}") for who, one in found["answered"]["by_expert"].items()
    ]
    return _table("Who answered", ("expert", "requests", "share"), rows)


def _latency(found: dict[str, Any]) -> Part:
    columns = ("expert", "requests", "p50", "p95", "p99", "first word p50", "p95", "p99")
    rows: list[Row] = [
        (
            who,
            f"{row['requests']:,}",
            *(_seconds(s) for part in ("total_s", "first_byte_s") for s in row[part].values()),
        )
        for who, row in found["latency"]["rows"].items()
    ]
    most = found["latency"]["newest"]
    reached = found["latency"]["rows"].get("all", {}).get("requests") == most
    title = f"Latency of the newest {most:,} answers" if reached else "Latency"
    if (since_s := found["latency"].get("rows_since_s")) is None:
        return _table(title, columns, rows)
    since = f"{datetime.fromtimestamp(since_s, UTC):%Y-%m-%d %H:%M} UTC"
    gone = Text("Rows before were old and are gone, and no sum tells how long answers took.", style="dim")
    return *_table(f"{title} from {since} on", columns, rows), gone


def _escalations(found: dict[str, Any]) -> Iterator[Part]:
    told = found["escalations"]
    share = "" if told["share"] is None else f": {told['to_fallback']:,} of {found['totals']['requests']:,}"
    share += f", {told['share']:.1%}" if told["share"] else ""
    if away := told["from_fallback"]:
        share += f"; for {away:,} the fallback failed, and a small expert answered"
    rows: list[Row] = [(row["told"], f"{row['requests']:,}") for row in told["by_reason"].values() if row["requests"]]
    yield _table(f"Escalations{share}", ("why", "requests"), rows)
    if told["by_domain"]:
        domains: list[Row] = [(name, f"{count:,}") for name, count in told["by_domain"].items()]
        yield _table("They looked most like", ("domain", "requests"), domains)


def _break_even(found: dict[str, Any]) -> Iterator[Part]:
    even = found["break_even"]
    for side, holds, saved in (("energy", _watts, _joules), ("money", _held_usd, _saved_usd)):
        rows: list[Row] = [
            (who, holds(row), saved(row), row["saved_by"] or "-", _from(row[side]), _now(row), _verdict(row[side]))
            for who, row in even.items()
        ]
        columns = ("expert", "holds", "an answer saves", "told", "pays from", "now", "pays")
        counts = f": {_paying(found['paying'][side])}" if rows else ""
        yield _table(f"Break-even in {side}{counts}", columns, rows)
    if told := [*_held(even), *_unsure(even)]:
        yield (Text("\n".join(told), style="dim"),)


def _held(even: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """What experts hold, those that hold the same together."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for who, row in even.items():
        alike[row["holds"]].append(who)
    for what, names in alike.items():
        yield f"{', '.join(names)}: each holds {what}." if len(names) > 1 else f"{names[0]} holds {what}."


def _unsure(even: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Why of some it is not told whether they pay: a reason once, of all whose reason it is."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for who, row in even.items():
        sides: defaultdict[str, list[str]] = defaultdict(list)
        for side in ("energy", "money"):
            sides[_why(row[side])].append(f"in {side}")
        for why, where in sides.items():
            if why:
                alike[f"{' and '.join(where)} {why}"].append(who)
    for why, names in alike.items():
        yield f"{', '.join(names)}: {'each ' * (len(names) > 1)}{why}."


def _now(row: dict[str, Any]) -> str:
    return _amount(row["requests_per_day"], " a day")


def _watts(row: dict[str, Any]) -> str:
    return _amount(row["idle_w"], " W")


def _joules(row: dict[str, Any]) -> str:
    return _saves(row["energy"], "saved_j", lambda saved_j: watt_hours(saved_j * 1e6))


def _held_usd(row: dict[str, Any]) -> str:
    return "-" if (usd := row["money"]["held_usd_per_day"]) is None else f"{_usd(usd)} a day"


def _saved_usd(row: dict[str, Any]) -> str:
    return _saves(row["money"], "saved_usd", _usd)


def _saves(side: dict[str, Any], name: str, shown: Callable[[float], str]) -> str:
    """What an answer saves, with its interval where it has one."""
    value, low, high = (side[f"{name}_{which}"] for which in ("per_request", "low", "high"))
    between = "" if low is None else f" ({shown(low)} to {shown(high)})"
    return "-" if value is None else f"{shown(value)}{between}"


def _paying(counts: dict[str, int]) -> str:
    told = [f", of {counts[name]} it is {name}" for name in ("undecided", "unknown") if counts[name]]
    return f"{counts['pay']} of {counts['experts']} pay at this pace{''.join(told)}"


def _from(side: dict[str, Any]) -> str:
    """Requests a day from which it pays, with their interval; the dashboard says it in the same words."""
    needed, low, high = (side[name] for name in ("needed_per_day", "needed_low", "needed_high"))
    if needed is None:
        perhaps = "" if low is None else f" (perhaps from {_first(low)})"
        return "-" if side["pays"] is None and not side["undecided"] else f"never{perhaps}"
    if low is None or (high is not None and not needed):
        return _first(needed)
    if high is None:
        return (
            f"{_first(needed)} (from {_amount(low)}, perhaps never)" if needed else f"{_first(needed)}, perhaps never"
        )
    return f"{_first(needed)} ({_amount(low)} to {_amount(high)})"


def _first(needed: float) -> str:
    return _amount(needed, " a day") if needed else "the first request"


def _verdict(side: dict[str, Any]) -> str:
    """Whether it pays at the pace of now."""
    return "undecided" if side["undecided"] else {True: "yes", False: "no"}.get(side["pays"], "-")


def _why(side: dict[str, Any]) -> str:
    """Why it is not told whether it pays; nothing where it is."""
    if side["undecided"]:
        return "undecided, for its pace is within the interval"
    return f"unknown, {side['unknown']}" if side["unknown"] else ""


def _calibration(of: str, told: dict[str, Any]) -> Part:
    rows: list[Row] = [
        (f"{row['from']:.0%} to {row['to']:.0%}", f"{row['stated']:.1%}", f"{row['turned_out']:.1%}", f"{row['n']:,}")
        for row in told["bins"]
    ]
    off = ""
    if told["ece"] is not None:
        good = f"{told['turned_out']:.1%} turned out well, n {told['n']:,}"
        off = f": off by {100 * told['ece']:.1f} points on average, {good}"
    return _table(f"Calibration {of}{off}", ("bin", "stated", "turned out", "n"), rows)


def _rated(small: dict[str, Any]) -> Part:
    """What clients say of small experts' answers, where they say anything; the fallback's are in the bins only."""
    if not small["n"]:
        return ()
    whose = "a small expert's answer" if small["n"] == 1 else f"{small['n']:,} small experts' answers"
    return (Text(f"{small['mean_score']:.1%} is the mean score of {whose} that clients rated.", style="dim"),)


def _loaded(loaded: dict[str, Any], told: dict[str, Any]) -> Iterator[Part]:
    rows: list[Row] = [
        (
            who,
            "ready" if one["loaded"] else one["state"],
            f"{told[who]['params_b']:g}B" if who in told else "-",
            _memory(one["declared_mb"]),
            _memory(one["resident_mb"]),
            str(told.get(who, {}).get("at") or "-"),
            f"{one['in_flight']:,}",
            f"{one['waiting']:,}",
        )
        for who, one in loaded["experts"].items()
    ]
    columns = ("expert", "state", "size", "declared", "resident", "at", "in flight", "waiting")
    yield _table("What is loaded", columns, rows)
    told_below = (
        f"{loaded['ready']:,} of {loaded['known']:,} loaded; {_memory(loaded['declared_mb'])} of the budget of "
        f"{_memory(loaded['budget_mb'])} taken. The router itself has {_memory(loaded['router']['resident_mb'])} "
        "resident."
    )
    yield (Text(told_below, style="dim"),)


def _amount(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.0f}{unit}" if abs(value) >= 100 else f"{value:.3g}{unit}"


def _usd(usd: float) -> str:
    return dollars(usd * 1e9)


def _memory(mib: float | None) -> str:
    return "-" if mib is None else f"{mib:,.0f} MB" if mib < 1024 else f"{mib / 1024:.3g} GB"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s" if value < 99.95 else f"{value:,.0f} s"
