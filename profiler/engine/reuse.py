"""What need not be asked because it was answered before: by the runs that `--reuse` names, or by another experiment of
this very run that asks the same."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.storage.reading.read_logs import paid_before, read_records
from profiler.storage.reading.saved_run import completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from profiler.core.nouns import Record, Request
    from profiler.engine.agenda import Turn
    from profiler.engine.options import Options
    from profiler.engine.session import Known
    from profiler.manifest.settings import Experiment
    from profiler.provider.source import Source
    from profiler.storage.reuse.answers import Answers
    from profiler.storage.reuse.reusable import Reusable
    from profiler.storage.writing.open_run import OpenRun


@contextmanager
def reusing(
    experiments: Sequence[Experiment], *, options: Options, tell: Callable[[str], None]
) -> Iterator[Reusable | None]:
    """Find the runs that `--reuse` names, before anything is asked or moved aside; None without `--reuse`."""
    if not options.reuse:
        yield None
        return
    from profiler.storage.reuse.known_runs import known_runs  # noqa: PLC0415 (no other run needs it, nor what it stands on)

    folders = [options.folder_of(each) for each in experiments]
    runs = known_runs(options.reuse, folders=folders, fresh=options.fresh)
    if not (options.fresh or options.retry_failed) and all(map(completed, folders)):
        yield None  # nothing will be asked
        return
    from profiler.storage.reuse.reusable import Reusable  # noqa: PLC0415 (it stands on sqlite, which no other run needs)

    with closing(Reusable(runs)) as reusable:
        for line in reusable.notes:
            tell(line)
        yield reusable


def known_answers(
    turn: Turn, run: OpenRun, source: Source, *, reusable: Reusable | None, tell: Callable[[str], None]
) -> Known | None:
    """A function that finds the known answer to a request; None if there cannot be any."""
    if turn.answers_of is not None:
        return _same_answers(turn.answers_of)
    if reusable is None or not run.owed:
        return None
    name = turn.experiment.experiment_id
    answers = answers_for(name, reusable, run.folder, run.header.identity, source=source, tell=tell)
    return None if answers is None else answers.find


def answers_for(
    name: str,
    reusable: Reusable,
    folder: Path,
    identity: Mapping[str, Any],
    *,
    source: Source,
    tell: Callable[[str], None],
) -> Answers | None:
    """What the run in this folder may take over; if nothing, people are told why."""
    answers = reusable.answers_for(folder, identity)
    if answers is None:
        tell(f"{name}: --reuse: none of these runs was answered by {source.in_words}, so everything is asked")
    return answers


def _same_answers(folder: Path) -> Known:
    """A function that gives the records of a complete run with the same questions, errors included, in dataset order."""
    records = read_records(folder)

    def known(request: Request) -> Record:
        """A log that its manifest has shortened may not say which repeat an answer was."""
        record = next(each for each in records if each.index == request.index)
        repeat = msgspec.UNSET if request.repeat is None else request.repeat
        return msgspec.structs.replace(paid_before(record), repeat=repeat)

    return known


def tell_taken(name: str, taken: int, *, of: int, tell: Callable[[str], None]) -> None:
    if taken:
        tell(f"{name}: {taken:,} of {of:,} answers are taken over from earlier runs; nothing is paid for them again")
