"""`shoal eval certify`: what policies would promise, before they serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.tables import show_table, table_of

if TYPE_CHECKING:
    from rich.table import Table

    from experts.policy import Policy
    from experts.spec import Registry
    from router.judge import Judge
    from router.learn.editions import Editions
    from router.promises.promises import Promises
    from router.settings import Settings


def certify(
    max_risk: Annotated[
        list[float] | None, typer.Option(help="Also try this risk, from 0.000001 and below 1; may be repeated.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="The confidence with which a --max-risk is kept, from 0.5 to 0.999.")
    ] = 0.9,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Show what each policy with a risk or a budget would promise; exit with 1 if one is refused.

    The output includes the share of requests that small experts would answer. Requests that a server on the same data
    folder has seen count too. Only the cache of vectors is written, and no server is needed.

    Example: shoal eval certify --max-risk 0.01 --max-risk 0.02
    """
    from experts.policy import LEAST_CONFIDENCE, LEAST_RISK, MOST_CONFIDENCE, Policy
    from experts.registry import load_registry

    risks = max_risk or []
    if not all(LEAST_RISK <= risk < 1 for risk in risks):
        raise typer.BadParameter(
            f"a risk is {LEAST_RISK:f} or more and below 1: none at all cannot be proved. Remedy: 0.01 or so.",
            param_hint="--max-risk",
        )
    if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        raise typer.BadParameter(
            f"{confidence:g} is none that can be kept. "
            f"Remedy: from {LEAST_CONFIDENCE} to {MOST_CONFIDENCE}, such as 0.9.",
            param_hint="--confidence",
        )
    chosen = settings(registry)
    tried = {f"max_risk {risk:g}": Policy(max_risk=risk, confidence=confidence) for risk in risks}
    found = promised(chosen, load_registry(chosen.registry).registry, tried)
    if as_json:
        echo_json(found)
    elif not found:
        typer.echo("No policy names a risk or a budget. Try: shoal eval certify --max-risk 0.02")
    else:
        show(found)
    if any(each["state"] == "refused" for each in found):
        raise typer.Exit(1)


def promised(chosen: Settings, registry: Registry, tried: Mapping[str, Policy] | None = None) -> list[dict[str, Any]]:
    """What a registry's policies would promise, and others beside them, as /admin/certificates lists it."""
    wanted = registry.model_copy(update={"policies": {**registry.policies, **(tried or {})}})
    if all(policy.threshold is not None for policy in wanted.policies.values()):
        return []
    from router.meter.tariff import Tariffs
    from router.promises.arrived import read_traffic, with_recent

    judge, promises, encoder = judged(chosen, wanted)
    traffic = read_traffic(chosen.ledger_path, encoder)
    return with_recent(promises, judge, wanted, Tariffs.of_registry(wanted), traffic)


def judged(chosen: Settings, registry: Registry) -> tuple[Judge, Promises, str]:
    """The judge of a registry, of what was learnt from use too, what its policies promise, its encoder's fingerprint.

    Nothing is written.
    """
    from router.encode import Encoder
    from router.learn.editions import Editions
    from router.learn.fit import fit_judge
    from router.meter.tariff import Tariffs
    from router.promises.promises import Promises
    from shoal.stages import stages

    with stages() as progress:
        progress("judging requests left out", 0, 3)
        encoder = Encoder.of(registry.encoder)
        learnt = Editions(chosen.editions_folder)
        progress("judging requests left out", 1, 3)
        fitted = fit_judge(registry, encoder, chosen.vectors_folder, editions=learnt)
        progress("judging requests left out", 2, 3)
        tariffs, kept = Tariffs.of_registry(registry), chosen.certificates_folder
        basis = registry, fitted, encoder.fingerprint, tariffs, kept
        made = Promises.make(*basis, ledger=chosen.ledger_path, keep=False)
        progress("judging requests left out", 3, 3)
    tell_unheard(learnt, fitted.edition, registry)
    return fitted.judge, made, encoder.fingerprint


def tell_unheard(learnt: Editions, edition: int, registry: Registry) -> None:
    """Say on standard error whose scores in an edition the registry cannot use, as where a shell lacks its fallback."""
    from router.learn.cautions import unheard

    if lost := unheard(learnt, edition, [spec.id for spec in registry.experts]):
        typer.echo(lost, err=True)


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """A table of promises, and below it why some are refused."""
    console = show_table(_table(found))
    for each in found:
        if each["why"]:
            console.print(f"{each['policy']}: {each['why']}", style="yellow", highlight=False)
        if each.get("recent") and each["recent"]["contradicts"]:
            console.print(f"{each['policy']}: {each['recent']['contradicts']}", style="yellow", highlight=False)
        if each.get("capped"):
            console.print(f"{each['policy']}: threshold {each['capped']}", style="dim", highlight=False)
    for assumed in _told_once([each["assumed"] for each in found if "assumed" in each]):
        console.print(f"A budget is an estimate: {assumed}.", style="dim", highlight=False)


def _told_once(assumed: Sequence[str]) -> list[str]:
    """What budgets assume without what says less: one of a share assumes the first half of what one in joules does."""
    told = dict.fromkeys(assumed)
    return [each for each in told if not any(more != each and more.startswith(each) for more in told)]


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    table = table_of("policy", "asked", "state", "threshold", "expected\nat most", "kept\nsmall", "n", "rests\non")
    for each in found:
        table.add_row(each["policy"], *_cells(each))
    return table


def _cells(each: Mapping[str, Any]) -> Iterator[str]:
    from router.meter.units import plain

    yield "\n".join(f"{key} {plain(value, 6)}" for key, value in each["asked"].items())
    yield each["state"]
    if "threshold" not in each:
        yield from "-" * 5
        return
    beyond = f"\n+ P({each['beyond']})" if each["beyond"] else ""
    yield f"{each['threshold']:g}{beyond}"
    if each["kind"] == "certificate":
        yield from (f"{each['loss']:.4f}\n{each['bound']:.4f}", f"{each['kept']:.1%}")
    else:
        yield from (f"{plain(each['expected'])}\n~{plain(each['high'])}", f"{1 - each['fallback_share']:.1%}")
    yield from (f"{each['n']:,}", each["source"].replace(", ", "\n"))
