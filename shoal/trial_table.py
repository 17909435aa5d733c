"""What `shoal learn try` and `apply` show to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shoal.tables import screen, show_table, table_of

if TYPE_CHECKING:
    from router.learn.trial import Trial


def show_trial(trial: Trial) -> None:
    """What it would change, by figures and by requests and examples that would go elsewhere."""
    console, found = screen(), trial.compared
    console.print(f"{found.scores:,} scores of {found.groups:,} different {found.told_by}")
    for expert, count in found.unsaid.items():
        console.print(f"{count:,} of {expert} are compared with nothing, for what serves says nothing of it yet")
    tell_left_out(trial.left_out)
    if found.before and found.after:
        table = table_of(f"on held-out {found.told_by}", "before", "after")
        table.add_row("Brier score", f"{found.before.brier:.4f}", f"{found.after.brier:.4f}")
        table.add_row("calibration error", f"{found.before.ece:.4f}", f"{found.after.ece:.4f}")
        show_table(table)
        console.print(f"change of the Brier score {found.change:+.4f}, standard error {found.doubt:.4f}")
    if trial.asked:
        console.print(f"{trial.moved.total():,} of the last {trial.asked:,} requests would go elsewhere")
    else:
        console.print("no requests are kept, so which would go elsewhere cannot be told")
    if trial.moved:
        table = table_of("from", "to", "requests")
        for (one, other), count in trial.moved.most_common():
            table.add_row(one, other, f"{count:,}")
        show_table(table)
    for label, (gone, count) in trial.examples.items():
        if gone:
            whose = label or "what no expert should answer"
            console.print(f"{gone:,} of {count:,} examples of {whose} would go elsewhere")
    for policy, state in trial.promised[1].items():
        console.print(f"promise of policy {policy}: {state['state']}{f', {why}' if (why := state['why']) else ''}")
    if trial.refusal:
        console.print(f"would not be applied: {trial.refusal}")


def tell_left_out(left_out: Mapping[str, str]) -> None:
    """What is not learnt from, and why."""
    for part, why in left_out.items():
        what = "scores are" if part == "scores" else "requests without a score are"
        screen().print(f"{what} left out, because with them: {why}", highlight=False)
