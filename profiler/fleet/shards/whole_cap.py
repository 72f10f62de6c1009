"""A cap over several experiments, for shards that know nothing of each other: each has an equal part of what nobody else has
spent, over all experiments, and stays within it.

What a shard has spent stands in the folders of the runs, and once a run is put together in its summary. What nobody knows to be
a shard's is somebody else's, and makes the part of each smaller.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from profiler.core.errors import UsageError
from profiler.money.prices import pico
from profiler.storage import summary_file
from profiler.storage.run_directory import summary_path
from profiler.storage.shared_runs.range_table import read_table
from profiler.storage.shared_runs.ranges import RangeFolders
from profiler.storage.whole_money import whole_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.fleet.shards.which_shard import Shard
    from profiler.manifest.load import Manifest
    from profiler.storage.shared_runs.range_table import Table
    from profiler.storage.shared_runs.ranges import Merged

BY_SHARD: Final = "spent_by_shard_usd"  # in the summary of a run that shards have answered


@contextmanager
def share_of_whole_cap(manifest: Manifest, shard: Shard, *, options: Options) -> Iterator[Callable[[], int | None]]:
    """A function that says what is left to this shard now, in pico-dollars; None where no cap holds over several experiments.

    Meanwhile no command that goes on with whole runs has such a cap too: each would spend what the other has not spent yet.
    """
    cap, folder = options.max_cost_usd, options.folder
    if cap is None or len(manifest.ids) == 1 or options.resolved_mode != "live":
        yield lambda: None
        return
    if shard.store is not None or shard.broker is not None:
        knows = "what shards have spent on other experiments stands in the folders of their machines, not in a store"
        raise UsageError(
            f"--shard cannot hold a cap over several experiments with {'--store' if shard.broker is None else '--broker'}: "
            f"{knows if shard.broker is None else 'a broker serves one experiment'}",
            hint="give each experiment its own max_cost_usd in the manifest, and no --max-cost",
        )
    with whole_money(folder, manifest=manifest.path, capped=False) as kept:
        runs = [folder / name for name in manifest.ids]
        yield partial(
            left_to, shard.number, of=shard.of, cap=pico(cap), runs=runs, gone=partial(kept.gone, manifest.ids)
        )


def left_to(number: int, *, of: int, cap: int, runs: Iterable[Path], gone: Callable[[], int]) -> int:
    """What the shard of this number may still spend of a cap over these runs, in pico-dollars. `gone` tells what was spent
    on all of them, by whomever.

    It is asked last: what shards spend meanwhile counts as somebody else's then, and the parts become smaller, not larger.
    """
    spent = [0] * of
    for run in runs:
        for shard, amount in enumerate(_by_shard(run, of)):
            spent[shard] += amount
    others = max(0, gone() - sum(spent))
    part = max(0, cap - others) // of
    # Who began when less was gone may have spent more than its part is now.
    theirs = sum(max(amount, part) for shard, amount in enumerate(spent) if shard != number)
    return max(0, min(part - spent[number], cap - others - theirs - spent[number]))


def _by_shard(run: Path, of: int) -> list[int]:
    """What each shard has spent on a run, or may have."""
    table = read_table(run)
    if table is not None:
        folders = RangeFolders(run)
        merged = folders.merged()
        if merged is not None and len(merged.by_shard) == of:
            return merged.by_shard
        return spent_by_shards(folders, table, merged, of=of)
    if not summary_path(run).exists():
        return []
    told = summary_file.read(run)["run"].get(BY_SHARD) or []
    return [pico(amount) for amount in told] if len(told) == of else []


def spent_by_shards(folders: RangeFolders, table: Table, merged: Merged | None, *, of: int) -> list[int]:
    """The same of a run that is not put together, by the ranges that each has."""
    found = [0] * of
    for first, money in folders.money_from(0 if merged is None else merged.end):
        found[table.range_of(first) % of] += money.gone
    return found
