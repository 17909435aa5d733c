"""What a report says of the savings of routed requests, and by which grids carbon is, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from router.meter.amounts import as_few, held_back, most_held
from router.meter.paired import UNITS
from router.meter.quality_notes import answers, ungraded
from router.meter.savings import LEAST
from router.meter.scale import DOLLARS, difference
from router.meter.totals import NOBODY, Group, Report
from router.meter.units import dollars, listed, many, percent, places, watt_hours

NAMES: Final = dict(zip(UNITS, ("cost", "energy", "CO2e"), strict=True))

_WHY: Final = {
    "off": "while nobody was held back",
    "busy": "while too many waited to run beside",
    "restricted": "of keys that may not use it",
    "too_few": "under a fallback of which too few were held back",
}

_LEFT_OUT: Final = {
    "named": "for which a model was named, so that nothing was chosen",
    "unable": "that the fallback could not have answered",
    "failed": "for which the fallback was asked and failed, as it would have alone",
    "interrupted": "under way when the server died",
}

_CAUSES: Final = {
    "length": "answers of another length",
    "batches": "larger batches",
    "uncharged": "what it does not charge",
    "allocated": "what is saved on paper only",
}
"""Why the same-token guess is another figure."""


def standing(found: Report) -> str:
    """Whose word the savings are, how sure they are, and what the same-token guess is beside them."""
    told, guess = found.routed, found.savings["same_token_guess"]
    beside = [*_lost(told["quality"]["lost_pairs"]), *ungraded(told["quality"]["grading"])] if told else []
    left = [*beside, *_left_out(guess["left_out"])]
    if not told.get("low"):
        held = most_held(told) if told else held_back(())
        few = f" ({many(held['conversations'], 'conversation')} held back{as_few(held)}; {LEAST} are needed)"
        few = few if held["conversations"] else ""
        plain = f"The fallback's figures are a same-token guess, unverified{few}"
        return " ".join((f"{plain}: the tokens read and written, at its price and energy.", *_rate(guess), *left))
    on = told["measured_on"]
    parts = (
        f"Measured on {on['conversations']:,} conversations that were answered both ways{as_few(on)}.",
        *_second_interval(told["coefficients"]),
        *_usual(told),
        *(f"{each[:-1]}, which is in the points for length." for each in _rate(guess)),
        *answers(told["quality"]),
        *_outside(told["outside"], told["whole"]),
        *left,
    )
    return " ".join(parts)


def _lost(pairs: int) -> list[str]:
    """Held-back answers that nothing is known from."""
    if not pairs:
        return []
    have, them = ("has", "it") if pairs == 1 else ("have", "them")
    return [
        f"{many(pairs, 'held-back answer')} {have} nothing beside {them}: what ran there is under way, was lost in a "
        f"crash or on a full disk, or was taken out; nothing is estimated from {them}."
    ]


def _left_out(counts: Mapping[str, int]) -> list[str]:
    """Requests that are not compared at all."""
    told = [f"{many(counts[why], 'request')} {what}" for why, what in _LEFT_OUT.items() if counts[why]]
    return [f"Left out: {'; '.join(told)}."] if told else []


def money(found: Report) -> list[str]:
    """What is known of money, and what would have to be told to know the rest."""
    told, notes = found.savings, []
    if found.without_price:
        calls = (
            f"{found.unpriced:,} of {found.total.attempts:,} calls, {percent(found.unpriced / found.total.attempts)}"
        )
        star, they = "* " * bool(found.total.sums.yusd), "it" if len(found.without_price) == 1 else "they"
        who = listed(found.without_price)
        notes.append(f"{star}No price given for {who}: what {they} cost is unknown, not 0 ({calls}).")
    notes += _priced(told["priced_part"])
    if found.total.compared.alone.unpriced:
        notes.append("The fallback had no price, so what it would have cost is unknown.")
    elif told["at_most"]:
        notes.append(_bill(found, told["fallback_bill_avoided"], told["at_most"]))
        notes += _on_paper(told["fallback_bill_avoided"]["allocated_usd"])
    elif told["allocated_usd"]:
        less = "less" if told["cost_usd"] >= 0 else "more"
        rest = (
            "It is taken off what was saved."
            if told["allocated_usd"] > 0
            else "What was saved is that much more than the fallback alone less what was spent."
        )
        notes.append(f"{_really_saved(told)} {less} was really paid.")
        notes += [f"{each} {rest}" for each in _on_paper(told["allocated_usd"])]
    return notes + _own_work(found)


def _really_saved(told: Mapping[str, Any]) -> str:
    """The money saved without a sign, to the digit that the table shows, where its column adds up."""
    alone, spent, saved = (of["cost_usd"] for of in (told["counterfactual"], told["spent"], told))
    return difference(DOLLARS, alone, spent, saved, told["allocated_usd"])[2].replace(">-", "<").replace("-", "")


def _bill(found: Report, bill: Mapping[str, Any], most: Mapping[str, Any]) -> str:
    """By how much the fallback's bill is another, and what that leaves to be saved once others are paid."""
    avoided, bound = (dollars(abs(of["usd"] * 1e9)) for of in (bill, most))
    differs = f"{avoided} {'smaller' if bill['usd'] >= 0 else 'larger'}"
    of_bill, of_bound = (between(of.get("low"), of["share"], of.get("high")) for of in (bill, most))
    unknown = f"{listed(most['no_price'])} cost, which {_lacking(found, most['no_price'])}."
    if not most["others_usd"]:
        return f"The fallback's bill is {differs}, {of_bill}, before what {unknown}"
    lead = (
        f"At most {bound} was saved"
        if most["usd"] >= 0
        else f"At least {bound} more was paid than the fallback alone would cost"
    )
    return (
        f"{lead}, {of_bound}: the fallback's bill is {differs}, {of_bill}, before what "
        f"{', '.join(bill['before_cost_of'])} and the router's own work cost. Of that "
        f"{dollars(most['others_usd'] * 1e9)} is known; not in it is what {unknown}"
    )


def _lacking(found: Report, names: Sequence[str]) -> str:
    """What to do about experts without a price; nothing where all have one by now."""
    lacking = [name for name in names if name not in found.priced_now]
    if not lacking:
        return "had no price at some time of this period, but has one now"
    of = "" if len(lacking) == len(names) else f" for {listed(lacking)}"
    return f"is not declared: 'hardware' or 'price'{of} in registry.yaml"


def _own_work(found: Report) -> list[str]:
    """What the router's own work is in money where no price of its electricity was given."""
    if not found.router_unpriced:
        return []
    part = "" if found.router_unpriced == found.total.requests else f" for {many(found.router_unpriced, 'request')}"
    return [
        f"In money the router's own work counts as $0{part}: no electricity price given "
        "('usd_per_kwh' under 'power' in registry.yaml)."
    ]


def _priced(part: Mapping[str, Any] | None) -> list[str]:
    """On how many of the requests the money saved is known, and why it is not on the others."""
    if part is None:
        return []
    why = (
        "left out, on both sides, are all requests of a domain in which a call has no price, because the rest would "
        "not be a fair sample, and those of a time in which the fallback had none"
    )
    if calls := part.get("calls_without_price", 0):
        told = f"{many(calls, 'call')} ({part['tokens_without_price']:,} tokens)"
        why = f"{told} {'has' if calls == 1 else 'have'} no price; {why}"
    if not part["requests"]:
        return [f"For no request is all the money known: {why}."]
    sure = {"published": "measured", "provisional": "measured, provisional"}.get(part.get("standing", ""), "unverified")
    of = f"{part['requests']:,} of {many(part['of'], 'request')} ({percent(part['share_of_requests'])})"
    return [f"What was saved on {of} is known ({sure}) and stands for these only: {why}."]


def _on_paper(allocated_usd: float) -> list[str]:
    """What was not spent by the accounts only, in words without a sign; nothing where all follows the load."""
    machines = dollars(abs(allocated_usd * 1e9))
    if allocated_usd > 0:
        return [f"{machines} is the cost of the fallback's machines that are there in any case: saved on paper only."]
    beyond = "the small experts' machines, beyond the fallback's, that are there in any case: spent on paper only"
    return [f"{machines} is the cost of {beyond}."] if allocated_usd else []


def between(low: float | None, share: float | None, high: float | None) -> str:
    """A share, with its interval where it is measured; nothing where the fallback would have taken nothing."""
    if share is None:
        return ""
    if low is None or high is None:
        return percent(share)
    many = places(low, high)
    return f"{share:.{many}%} ({low:.{many}%} to {high:.{many}%})"


def _second_interval(found: Mapping[str, float] | None) -> list[str]:
    if found is None:
        return []
    many = places(found["low"], found["high"])
    told = f"{found['low']:.{many}%} to {found['high']:.{many}%}"
    return [f"With the joules per token and watts per core in doubt too, the energy saved is within {told}."]


def _usual(told: Mapping[str, Any]) -> list[str]:
    """The figure others publish, and each part of the difference that can be seen."""
    guessed, differs = told["same_tokens"].items(), told["differs_by"]
    shares = {unit: share for unit, share in guessed if None not in (share, differs[unit]["length"])}
    if not shares:
        return []
    usual = listed([f"{share:.1%} of {NAMES[unit]}" for unit, share in shares.items()])
    why: dict[str, list[str]] = {}
    for unit, causes in differs.items():
        if unit in shares and any(causes.values()):
            told_why = listed([f"{_CAUSES[cause]} {points * 100:+.1f}" for cause, points in causes.items() if points])
            why.setdefault(told_why, []).append(NAMES[unit])
    parts = [f"{causes} points of {listed(units)}" for causes, units in why.items()]
    because = f": {'; '.join(parts)}" if parts else ""
    return [f"The same-token guess of those answers, as others publish it, says {usual}{because}."]


def _rate(guess: Mapping[str, Any]) -> list[str]:
    """By how much the joules per token of the guess are not what the fallback's answers took, where that is much."""
    own = guess["fallback_answers"]
    if not own["differ"]:
        return []
    took_uj, by_rate_uj = own["energy_j"] * 1e6, own["by_rate_j"] * 1e6
    took, by_rate = watt_hours(took_uj), watt_hours(by_rate_uj, took_uj)
    lead = "For others' answers it goes by joules per token"
    return [f"{lead}: by these the fallback's own would have taken {by_rate}, not {took}."]


def _outside(outside: Mapping[str, Any], whole: Mapping[str, Any]) -> list[str]:
    """Which routed requests the measured line says nothing of."""
    if not outside["requests"]:
        return []
    why = ", ".join(f"{count:,} {_WHY.get(reason, reason)}" for reason, count in outside["why"].items())
    spent = {unit: share for unit, share in outside["share_of_spent"].items() if share is not None}
    parts = [f"{percent(share)} of {NAMES[unit]}" for unit, share in spent.items()]
    of_spent = f", {listed(parts)}" if parts else ""
    of_all = [f"{share:.0%} of {NAMES[unit]}" for unit, share in whole["share"].items() if share is not None]
    with_them = f"; with them, unverified, {listed(of_all)}" if of_all else ""
    return [f"It leaves out {many(outside['requests'], 'request')}{of_spent}: {why}{with_them}."]


def grids(found: Report) -> list[str]:
    """What carbon is charged by."""
    names = sorted(found.grids - {NOBODY})
    world = [each.startswith("WOR ") for each in names]
    if names and all(world):
        return ["Carbon above is by the world average of grids (WOR); grid_zone in the registry names another."]
    return [f"Carbon above is by the grid of {listed(names)}{', WOR being the world' * any(world)}."] if names else []


_CHANGES_TOLD: Final = 5


def changed(found: Report) -> list[str]:
    """Why days may differ though what was asked is alike: another price, grid or coefficient, in one line."""
    if not found.changed:
        return []
    told = [change.told for change in found.changed[:_CHANGES_TOLD]]
    more = len(found.changed) - len(told)
    rest = f"; {more:,} more (--json, `changed`)" if more else ""
    return [f"What is charged changed within this period: {'; '.join(told)}{rest}."]


def unknown(total: Group) -> Iterator[str]:
    """What nobody knows, so that it is in no sum."""
    if lost := total.unmetered:
        was, it = ("was", "it") if lost == 1 else ("were", "they")
        yield (
            f"{many(lost, 'request')} {was} interrupted when the server died: what {it} took is unknown and is in no "
            "sum."
        )
    if total.unheard:
        yield (
            f"The clients of {many(total.unheard, 'answer')} left before the first word: what was written by then is "
            "unknown and is in no sum."
        )
