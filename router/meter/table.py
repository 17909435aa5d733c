"""A report as tables a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from router.meter.carbon_notes import by_another_table
from router.meter.compared import Sum
from router.meter.device_notes import device_notes
from router.meter.group_table import saved_by
from router.meter.layout import Line, Taken, Titled
from router.meter.paired import UNITS
from router.meter.record import EnergyMethod
from router.meter.scale import DOLLARS, Scale, Scales, difference
from router.meter.sci import sci
from router.meter.totals import Report, Share
from router.meter.units import GRAMS, WATT_HOURS, dollars, grams, listed, many, plain, watt_hours
from router.meter.verdict import between, changed, grids, money, standing, unknown

_LARGE = ((10**9, "B"), (10**6, "M"))


def tables(found: Report, accounts: Mapping[str, str]) -> RenderableType:
    """Who answered and what it took, beside what the fallback alone would have taken.

    `accounts`: what keys are called, by their ids.
    """
    if not found.total.requests:
        return Text("\n".join([f"No requests {_period(found)}.", *device_notes(found)]), style="dim")
    scales = _scales(found)
    parts: list[RenderableType] = [_headline(found), _experts(found, scales)]
    if found.groups:
        parts += [_groups(found, scales, accounts), saved_by(found, lambda name: _called(found, name, accounts))]
    return Stack(*parts, _comparison(found), _notes(found, scales))


def _period(found: Report) -> str:
    return _between(found.since_us, found.until_us)


def _between(since_us: int | None, until_us: int | None) -> str:
    """A period in words; seconds are told of both ends where one of them has any."""
    to_the = "seconds" if any((us or 0) // 1_000_000 % 60 for us in (since_us, until_us)) else "minutes"
    since, until = (None if us is None else _moment(us, to_the) for us in (since_us, until_us))
    return f"from {since or 'the beginning'} to {until or 'now'}"


def _moment(us: int, to_the: str) -> str:
    """Not by strftime, which writes the year 1 as 1 and not as 0001."""
    return f"{datetime.fromtimestamp(us / 1e6, UTC).replace(tzinfo=None).isoformat(' ', to_the)} UTC"


def _headline(found: Report) -> Text:
    ended = [f"{count:,} {status.name.lower()}" for status, count in sorted(found.by_status.items())]
    escalated = sum(count for stage, count in found.escalated.items() if stage != "no")
    line = Text.assemble((many(found.total.requests, "request"), "bold"), f" {_period(found)}: {', '.join(ended)}")
    line.append(f"; {escalated:,} escalated" if escalated else "")
    if found.asked is not None:
        line.append(f". Asked for was {_between(*found.asked)}: of hours whose rows are gone only whole ones are known")
    return line.append("\n")


def _taken(title: str, first: str, count: str) -> Taken:
    return Taken(title, first, (count, "asked", "in", "out"), ("cost", "energy", "CO2e"), "of energy", bar=6)


def _scales(found: Report) -> Scales:
    """Of whatever adds up to the total: who answered, groups, ways to know energy."""
    shares = (found.total, *found.by_expert.values(), *found.groups.values())
    return Scales.of((found.router, *(share.sums for share in shares)))


def _experts(found: Report, scales: Scales) -> Taken:
    table, total = _taken("Who answered", "expert", "answers"), found.total
    ranked, whole, nobody = found.ranked_experts(), total.sums.energy_uj, found.unanswered
    *amounts, router = scales.parts([*(share.sums for _, share in ranked), found.router], total.sums)
    for (name, share), told in zip(ranked, amounts, strict=True):
        table.lines.append(Line(name, _counts(share), _least_cells(share, told), _part(share.sums, whole)))
    table.lines.append(Line("the router", ("",) * 4, router, _part(found.router, whole), "dim"))
    table.lines.append(Line("all", _counts(total, nobody), _least_cells(total, scales.told(total.sums)), None, "bold"))
    return table


def _groups(found: Report, scales: Scales, accounts: Mapping[str, str]) -> Taken:
    all_of = " that answered: all that its requests took, others asked for them too" * (found.group_by == "expert")
    table = _taken(f"\nBy {found.group_by}{all_of}", str(found.group_by), "requests")
    groups = sorted(found.groups.items())
    amounts = scales.parts([group.sums for _, group in groups], found.total.sums)
    for (name, group), told in zip(groups, amounts, strict=True):
        part = _part(group.sums, found.total.sums.energy_uj)
        table.lines.append(Line(_called(found, name, accounts), _counts(group), _least_cells(group, told), part))
    return table


def _called(found: Report, name: str, accounts: Mapping[str, str]) -> str:
    return f"{accounts[name]} {name}" if found.group_by == "key" and name in accounts else name


def _counts(share: Share, unanswered: int = 0) -> tuple[str, ...]:
    asked, read, written = map(_short, (share.attempts, share.input_tokens, share.output_tokens))
    return (f"{share.requests - unanswered:,}", asked, read, f"≥ {written}" if share.unheard else written)


def _cells(share: Share, amounts: tuple[str, ...]) -> tuple[str, ...]:
    cost, *others = amounts
    if share.sums.unpriced:
        cost = f"{cost}*" if share.sums.yusd else "no price"
    return (cost, *others)


def _least_cells(share: Share, amounts: tuple[str, ...]) -> tuple[str, ...]:
    """Sums in which what some requests took may be missing, for nobody knows it."""
    cells = _cells(share, amounts)
    return tuple(f"≥ {told}" if share.at_least and told != "no price" else told for told in cells)


def _short(count: int) -> str:
    """As short as a column needs it: whole below a million, four digits above; --json has all of them."""
    size, name = next(((size, name) for size, name in _LARGE if count >= size), (1, ""))
    return f"{count / size:.4g}{name}" if name else f"{count:,}"


def _part(part: Sum, whole: int) -> float:
    return part.energy_uj / whole if whole else 0.0


def _comparison(found: Report) -> RenderableType:
    """The one figure of what was saved."""
    told = found.savings
    if not told["requests"]:
        return Text("\nNo request is compared with the fallback alone.")
    title = f"\n{many(told['requests'], 'request')} against the fallback alone: {told['standing']}"
    columns = [Column(name, justify="right") for name in ("cost", "energy", "CO2e")]
    table = Table(Column(no_wrap=True), *columns, box=None, pad_edge=False, header_style="dim")
    share = [between(*(None if told[name] is None else told[name][unit] for name in _SHARES)) for unit in UNITS]
    first, spent, saved = zip(*_differences(told, told), strict=True)
    table.add_row("fallback alone", *first, style="dim")
    table.add_row("really spent", *spent, style="dim")
    if paper := told["allocated_usd"]:  # taken off before what was saved, in the same decimals, so that it adds up
        scale = Scale.of(DOLLARS, [side["cost_usd"] for side in (told["counterfactual"], told["spent"], told)])
        table.add_row("on paper only", f"{scale.told(paper)} {between(None, told['allocated_share'], None)}", "", "")
    table.add_row("saved", *saved, style="green" if told["energy_j"] >= 0 else "red")
    table.add_row("share saved", *share, style="bold")
    if (part := told["priced_part"]) and part["cost_usd"] is not None:
        within = between(part["low"], part["share"], part["high"])
        many_of = f"saved on {part['requests']:,} of {part['of']:,}"
        table.add_row(many_of, f"{dollars(part['cost_usd'] * 1e9)} {within}", "", "")
    return Titled(title, table)


Differences = list[tuple[str, str, str]]

_SHARES: Final = ("low", "share", "high")


def _differences(told: Mapping[str, Any], beside: Mapping[str, Any]) -> Differences:
    """Money, energy, carbon: the fallback alone, really spent, saved, in units of `beside`; unknown without a price."""
    paper = {"cost_usd": told.get("allocated_usd") or 0.0}
    (alone, spent, saved), others = ((of["counterfactual"], of["spent"], of) for of in (told, beside))
    sides = zip(("cost_usd", "energy_j", "co2_g"), (DOLLARS, WATT_HOURS, GRAMS), strict=True)
    return [
        difference(units, alone[of], spent[of], saved[of], paper.get(of, 0.0), [each[of] for each in others])
        for of, units in sides
    ]


def _notes(found: Report, scales: Scales) -> Text:
    known = [(method, uj / 1e6) for method, uj in sorted(found.by_method.items(), reverse=True) if uj]
    amounts = scales.energy.parts([energy_j for _, energy_j in known], found.total.sums.energy_uj / 1e6)
    mix = [f"{told} {method.name.lower().replace('_', ' ')}" for (method, _), told in zip(known, amounts, strict=True)]
    notes = ["\n" + standing(found)]
    if mix:
        notes.append(f"Energy: {', '.join(mix)}. {_explain(found)}")
    notes += money(found)
    notes += changed(found)
    for name, size_b in found.assumed_b.items():
        notes.append(
            f"The size of {name} is assumed ({size_b:g} billion parameters): the energy and carbon of the fallback "
            "alone rest on it. Name it: SHOAL_FALLBACK_PARAMS_B, or params_b in registry.yaml."
        )
    notes += _more(found)
    if found.adding_up is not None:
        done, whole = found.adding_up
        notes.append(
            f"Adding up the past: {done:,} of {whole:,} hours. What is missing is read row by row, which takes longer; "
            "a running server adds it up."
        )
    if found.only_in_sums:
        notes.append(
            f"Of {found.only_in_sums:,} requests only sums are left: their rows were old and are gone, so an audit "
            "takes these as read."
        )
    notes += unknown(found.total)
    return Text("\n".join(notes), style="dim")


def _of_it(what: str, part: Sum) -> str:
    """What some attempts took; money as far as it has prices."""
    energy = watt_hours(part.energy_uj)
    if (known := part.known_usd) is None:
        return f"{what} took {energy} of the energy above; what that cost is unknown."
    return f"{what} took {dollars(known * 1e9)}{'*' * part.unpriced} and {energy} of the sums above."


def _more(found: Report) -> list[str]:
    """What a reader should know beside the totals."""
    beside = {
        "Answers that were thrown away": found.by_kind["discarded"],
        "Answers that nobody saw, made only to compare,": found.by_kind["shadow"],
    }
    notes = [_of_it(what, part) for what, part in beside.items() if part.cost_nusd or part.energy_uj]
    for name, one in found.routed.get("by_fallback", {}).items():
        notes += _batches(name, one["by_capacity"])
    total, into = found.total, "written into a provider's cache"
    read = ("read", total.cached_tokens, "cached"), ("read", total.cache_write_tokens, into)
    tokens = *read, ("written", total.reasoning_tokens, "reasoning")
    notes += [f"Of the tokens {done} {count:,} were {what}." for done, count, what in tokens if count]
    notes += [*_guess(found), *device_notes(found), *by_another_table(found)]
    carbon = sci(found)
    share = carbon["embodied_share"] or 0.0
    part = "included" if share == 1 else f"included for {share:.0%} of the working time, unknown for the rest"
    made = f"making the machines {part}" if carbon["embodied_g"] else "without making the machines (unknown)"
    units = {"per_request": "a request", "per_accepted_answer": "an accepted answer"}
    units["per_1000_output_tokens"] = "per 1,000 tokens"
    each = [f"{grams(carbon[name] * 1e6)} CO2e {told}" for name, told in units.items() if carbon[name] is not None]
    notes += grids(found)
    vectors = "; what vectors took is spread over requests alone" if carbon["vectors_g"] else ""
    return [*notes, f"Carbon intensity: {', '.join(each)}; {made}{vectors}."]


def _batches(name: str, by_capacity: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of a fallback's fixed machines, and of the time only when they were that."""
    when = "The machines of {} are fixed" if len(by_capacity) == 1 else "While the machines of {} were fixed"
    runs = [one["fixed_capacity"] for one in by_capacity if one["fixed_capacity"]]
    return [
        f"{when.format(name)}: alone it would have run batches of {plain(run['batch_alone'], 3)}, not "
        f"{plain(run['batch'], 3)}, in which each token it writes takes "
        f"{'less' if run['batch_alone'] >= run['batch'] else 'more'}; that is counted."
        for run in runs
    ]


def _guess(found: Report) -> list[str]:
    """The same-token guess of everything that is compared, where the figure above is another."""
    told, guess = found.savings, found.savings["same_token_guess"]
    if _sides(told, told) == _sides(guess, guess):
        return []
    requests, alone, spent = _sides(guess, told)
    fixed = any(one["fixed_capacity"] for one in found.routed.get("by_fallback", {}).values())
    batches = ", in the batches of today" if fixed else ""
    return [
        f"The same-token guess of {requests}, everything charged{batches}: {alone} by the fallback alone, {spent} "
        "really spent."
    ]


def _sides(told: Mapping[str, Any], beside: Mapping[str, Any]) -> tuple[str, str, str]:
    """How many requests, what the fallback alone would have taken for them, and what was spent."""
    alone, spent, _ = zip(*_differences(told, beside), strict=True)
    return many(told["requests"], "request"), listed(alone), listed(spent)


def _explain(found: Report) -> str:
    if any(found.by_method[method] for method in (EnergyMethod.MEASURED, EnergyMethod.MEASURED_SHARE)):
        return "Modelled is processor time at the watts per core in registry.yaml; table is joules per token."
    return "Nothing is measured: modelled is processor time at watts per core, table is joules per token."
