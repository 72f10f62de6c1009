"""The table of `profiler run --dry-run`: a row for each experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.progress import duration
from profiler.cli.table import Table
from profiler.engine.dry_run import METHOD
from profiler.money.budget import usd
from profiler.money.prices import pico

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.engine.dry_run import DryRun


def as_table(estimates: Sequence[DryRun]) -> Table:
    notes = [f"{each.experiment_id}: {warning}" for each in estimates for warning in each.warnings]
    return Table(
        title=f"Dry run ({len(estimates)} experiment{'s' if len(estimates) != 1 else ''})",
        caption="DRY RUN - nothing was sent, written or spent",
        header=("experiment", "model", "dialogues", "requests", "tokens in", "tokens out", "cost", "worst", "soonest"),
        rows=tuple(_row(each) for each in estimates),
        notes=(*notes, *METHOD),
    )


def _row(each: DryRun) -> tuple[str, ...]:
    found = each.cost_usd
    time = "unknown" if each.eta_s is None else f"{duration(each.eta_s)} ({each.bound_by})"
    return (
        each.experiment_id,
        each.model,
        f"{each.dialogues:,}" + (f" x {each.repeats}" if each.repeats else ""),
        f"{each.requests:,}",
        f"{each.input_tokens.low:,.0f} .. {each.input_tokens.expected:,.0f} .. {each.input_tokens.most:,.0f}",
        f"{each.output_tokens.low:,.0f} .. {each.output_tokens.expected:,.0f} .. {each.output_tokens.most:,.0f}",
        "unknown" if found is None else f"{usd(pico(found.low))} .. {usd(pico(found.expected))}",
        "unknown" if found is None else usd(pico(found.most)),
        time,
    )
