"""`shoal route`: which expert would answer, and why; nothing is generated and no server is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experts.errors import ShoalError, WrongUsage
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.promises import tell_unheard
from shoal.tables import screen, show_table, table_of

if TYPE_CHECKING:
    from experts.spec import Registry


class NoRoute(ShoalError):
    """Nobody can be chosen as asked; the message holds the remedy."""


def route(
    text: Annotated[
        str, typer.Argument(help="A request as a user would write it. Put -- before one that begins with -.")
    ],
    registry: RegistryPath = None,
    model: Annotated[str, typer.Option(help="auto, auto:POLICY, an expert's id, fallback or an alias.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Show which expert would answer a request, how sure the judge is, and what would have changed the choice.

    No model answers and no server is needed. The choice is the one that a server on the same data folder would make,
    including what it has learnt from use and the promises it refuses because traffic has drifted. Only the cache of
    vectors is written.

    Example: shoal route "My parcel never came" --model auto:careful
    """
    found = asyncio.run(_explained(text, registry, model))
    echo_json(found) if as_json else _show(found)


async def _explained(text: str, registry: RegistryPath, model: str) -> dict[str, Any]:
    from experts.registry import load_registry
    from router.decide import NobodyCan, UnknownModel
    from router.explain import explain
    from router.live import Live
    from router.pipeline import choose
    from router.request import ChatRequest

    chosen = settings(registry)
    live = await Live.open(load_registry(chosen.registry), chosen, keep=False)
    tell_unheard(live.editions, live.snapshot.edition, live.snapshot.registry)
    try:
        request = ChatRequest("", {"model": model, "messages": [{"role": "user", "content": text}]})
        choice = await choose(live.snapshot, request)
        if choice.rule is not None and choice.rule.refused is None:  # else the reason says it
            live.snapshot.promises.tell(only=choice.rule.policy)
        return explain(choice)
    except UnknownModel:
        known = ", ".join(_names(live.snapshot.registry))
        raise WrongUsage(f"--model: there is no {model!r}. Remedy: one of {known}") from None
    except NobodyCan as error:
        raise NoRoute(f"{error.message} Remedy: another --model, or a shorter text") from None
    finally:
        await live.aclose()


def _names(registry: Registry) -> list[str]:
    """Everything that `--model` may be."""
    policies = [f"auto:{policy}" for policy in registry.policies]
    return ["auto", *policies, "fallback", *(spec.id for spec in registry.experts), *registry.aliases]


def _show(found: dict[str, Any]) -> None:
    from rich.text import Text

    decision = found["decision"]
    console = screen()
    head = Text.assemble(("→ ", "dim"), (decision["expert"], "bold green"), f"  {decision['reason']}")
    console.print(head)
    threshold = decision["threshold"]
    table = table_of("expert", "probability", "")
    for candidate in decision["candidates"]:
        share = candidate["probability"]
        mark = "green" if threshold is not None and share >= threshold else "yellow"
        bar = Text("█" * round(share * 30), mark) + Text("·" * (30 - round(share * 30)), "dim")
        name = Text(candidate["expert"], "bold" if candidate["expert"] == decision["expert"] else "")
        table.add_row(name, f"{share:.3f}", bar + Text("  " + candidate.get("obstacle", ""), "red"))
    if decision["candidates"]:
        show_table(table)
        least = "none" if threshold is None else f"{threshold:g}"
        facts = f"policy {decision['policy']}: threshold {least}, familiar p {decision['known']:.3f}"
        console.print(Text(facts, "dim"))
    outside = found.get("out_of_domain")
    if outside is not None:
        seen = ", ".join(f"{name} {value:+.1f}" for name, value in outside["looks"].items())
        verdict = "refused" if outside["refused"] else "passed"
        console.print(
            Text(f"out of domain: {verdict}, p {outside['known']:.3f} against {outside['threshold']:g} ({seen})", "dim")
        )
    for expert, parts in found.get("moved_by", {}).items():
        if len(parts) > 1:
            told = " ".join(f"{name} {value:+.3f}" for name, value in parts.items())
            console.print(Text(f"{expert}: {told}", "dim"))
    if found["nearest"]:
        near = table_of("similarity", "domain", "nearest known example")
        for row in found["nearest"]:
            near.add_row(f"{row['similarity']:.3f}", row["label"] or "no expert's", " ".join(row["input"].split())[:80])
        show_table(near)
    if found.get("smallest"):
        console.print(Text("smallest: " + found["smallest"]["told"], "dim"))
    for change in found["would_change"]:
        console.print(Text("would change: " + change, "dim"))
