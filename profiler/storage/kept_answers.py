"""What an earlier run in the same place has answered already, looked at without touching it.

Comes in: an experiment and where it would run, live. Goes out: which dialogues would not be asked again, and what they
have cost. Takes no lock, cuts nothing, and may look while the run goes on. Knows nothing of clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.money.prices import dollars, pico
from profiler.storage import journal, ledger, resume, summary_file
from profiler.storage.identity import complete_run, header_of
from profiler.storage.read_logs import read_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """`done` has a 1 for each dialogue that is not asked again. `differs`: why the run there is another one."""

    done: bytearray = msgspec.field(default_factory=bytearray)
    billed_usd: float = 0.0
    differs: tuple[str, ...] = ()


def kept_answers(experiment: Experiment, *, options: Options) -> Kept | None:
    """None where nothing was run before."""
    folder = options.output_dir / experiment.experiment_id
    before = resume.earlier(folder) or complete_run(folder)
    if before is None:
        return None
    header = header_of(experiment, options=msgspec.structs.replace(options, mode="live"), before=before)
    if lines := resume.differences(before.identity, header.identity):
        return Kept(differs=tuple(lines))
    look = _complete if before.complete else _unfinished
    return look(folder, header.count, retry_failed=options.retry_failed)


def _complete(folder: Path, count: int, *, retry_failed: bool) -> Kept:
    facts = summary_file.read(folder)["run"]
    done = bytearray(b"\1" * count)
    if retry_failed:
        for index, outcome in enumerate(read_outcomes(folder)):
            done[index] = outcome.type != "error"
    return Kept(done=done, billed_usd=sum(facts.get(name) or 0.0 for name in ("spent_usd", "maybe_billed_usd")))


def _unfinished(folder: Path, count: int, *, retry_failed: bool) -> Kept:
    """By the journal. What was in flight when a run was killed is not reckoned: that takes its dialogues."""
    done, cost = bytearray(count), 0
    for place in journal.replay(folder / journal.NAME, count=count):
        entry = place.entry
        done[entry.index] = not (retry_failed and entry.type == "error")
        cost += pico(entry.cost_usd or 0.0)
    book = ledger.read(folder)
    return Kept(done=done, billed_usd=dollars(cost + (book.outside if book is not None else 0)))
