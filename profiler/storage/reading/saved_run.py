"""A run directory, finished or not, for code that wants to look into it: its summary, lines, outcomes, or a recount.

It takes no lock and may look while the run goes on; it changes nothing unless it is asked to write the scores anew.
"""

from __future__ import annotations

import glob
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import LogError
from profiler.core.wording import silent
from profiler.manifest.settings import USUAL_METRICS
from profiler.metrics import summary
from profiler.metrics.builtin import resolve
from profiler.metrics.reduction import BATCH, Reduction, reduce_outcomes
from profiler.metrics.totals import BadOutcome
from profiler.storage import summary_file
from profiler.storage.names import ASIDE, JOURNAL, MOVED_ASIDE, REQUESTS, RESPONSES, SCORES, SUMMARY
from profiler.storage.reading.item import Item
from profiler.storage.reading.read_logs import MovedOn, damaged, lines_of, read_outcomes
from profiler.storage.reading.run_marks import holds_run, no_folder, no_run_in
from profiler.storage.score_log import ScoreLog, publish, worked_out
from profiler.storage.whole_file import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from os import PathLike

    from profiler.core.nouns import Outcome
    from profiler.metrics.metric import Metric
    from profiler.storage.reading.unfinished import Unfinished
    from profiler.storage.reading.unfinished_fleet import UnfinishedFleet

LOOKS = 5  # at a run that goes on meanwhile

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class SavedRun:
    """One run directory, read only."""

    def __init__(self, log_dir: str | PathLike[str]) -> None:
        self.folder = Path(log_dir)
        if not holds_run(self.folder):
            raise no_run_in(self.folder)

    @property
    def complete(self) -> bool:
        """Whether every dialogue has its answer or its error. The summary is written after the last of them."""
        return (self.folder / SUMMARY).exists()

    def changed(self) -> float | None:
        """When its summary was written, in seconds since 1970."""
        try:
            return (self.folder / SUMMARY).stat().st_mtime
        except OSError:
            return None

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says; for an unfinished run, the summary of what it has so far."""
        looks = 0
        while not self.complete:
            looks += 1
            try:
                return self.recompute()
            except (
                LogError
            ) as error:  # it may have ended, and one that goes on moves what is looked at, but not every time
                if not (self.complete or (isinstance(error, MovedOn) and looks < LOOKS)):
                    raise
        return summary_file.read(self.folder)

    def requests(self) -> Iterator[dict[str, Any]]:
        """What was asked, in dataset order."""
        return lines_of(self.folder / REQUESTS, _decode, complete=self.complete)

    def responses(self) -> Iterator[dict[str, Any]]:
        """What came back, in dataset order, with the fields that the manifest kept."""
        return lines_of(self.folder / RESPONSES, _decode, complete=self.complete)

    def outcomes(self) -> Iterator[Outcome]:
        """Requests and responses joined, as metrics see them; all that is kept of an unfinished run."""
        begun = self.begun()
        return read_outcomes(self.folder, complete=self.complete) if begun is None else begun.outcomes()

    def metrics(self, *, search_path: Path | None = None) -> tuple[Metric[Any], ...]:
        """The metrics of its manifest. Those of one's own are looked for in `search_path`."""
        facts = self._facts()
        return _metrics_of(facts, facts.get("metrics"), search_path=search_path)

    def scores(self, *, search_path: Path | None = None) -> Iterator[dict[str, Any]]:
        """The score of every item by every metric that has one, in dataset order; worked out now where no file of a
        complete run holds them. Metrics of one's own are then looked for in `search_path`."""
        path = self.folder / SCORES
        if self.complete and path.exists():
            return lines_of(path, _decode, complete=True)
        return worked_out(self.outcomes(), self.metrics(search_path=search_path))

    def items(self, *, search_path: Path | None = None) -> Iterator[Item]:
        """What was asked, what came back and what it scored, joined, in dataset order; of an unfinished run, all that
        is kept."""
        begun = self.begun()
        if begun is not None:
            asked = _metrics_of({}, begun.facts().get("metrics"), search_path=search_path)
            for (request, record), found in zip(begun.lines(), worked_out(begun.outcomes(), asked), strict=True):
                yield Item(request, record, found["scores"])
            return
        requests = {
            "request": self.requests(),
            "record": self.responses(),
            "scores": self.scores(search_path=search_path),
        }
        for number, lines in enumerate(zip_longest(*requests.values()), 1):
            request, record, scores = lines
            for found, name in zip(lines, (REQUESTS, RESPONSES, SCORES), strict=True):
                if found is None or found["dialogue_id"] != request["dialogue_id"]:
                    raise damaged(self.folder / name, "is of another dialogue than the other files", line=number)
            yield Item(request, record, scores["scores"])

    def _facts(self) -> dict[str, Any]:
        """The facts about the run itself: the `run` part of its summary."""
        if self.complete:
            facts: dict[str, Any] = summary_file.read(self.folder)["run"]
            return facts
        begun = self.begun()
        return begun.facts() if begun else {"experiment_id": self.folder.resolve().name}

    def begun(self) -> Unfinished | UnfinishedFleet | None:
        """What is kept of an unfinished run; None of a complete one, and where there are logs and no journal."""
        return None if self.complete else begun_in(self.folder)

    def recompute(
        self,
        metrics: Sequence[str] | None = None,
        *,
        search_path: Path | None = None,
        note: Callable[[str], None] | None = None,
        write_scores: bool = False,
    ) -> dict[str, Any]:
        """Count again from the logs.

        Facts about the run itself (`run`) are taken from its summary or its journal. A metric that raises is reported
        to `note` and has no value. `write_scores` writes scores.jsonl of a complete run anew.
        """
        tell = note or silent
        begun = self.begun()
        before = summary_file.read(self.folder) if self.complete else {}
        facts = before.get("run") or (begun.facts() if begun else {"experiment_id": self.folder.resolve().name})
        asked = _metrics_of(facts, metrics or facts.get("metrics"), search_path=search_path)
        if begun is not None:
            reduction = _reduced(begun.outcomes(), asked, log=self.folder / JOURNAL)
        elif write_scores and self.complete:
            reduction = reduce_and_score(self.folder, asked, tell=tell)
        else:
            reduction = reduce_logs(self.folder, asked, complete=self.complete)
        for fault in reduction.faults:
            tell(str(fault))
        return summary.judged(summary.build(reduction, facts), summary.bounds_of(before))


def moved_aside(folder: Path) -> bool:
    """Whether `--fresh` has moved this run out of the way of a later one."""
    return MOVED_ASIDE.search(folder.name) is not None


def run_before(folder: Path) -> Path | None:
    """The complete run that `--fresh` moved aside last for the one in this folder."""
    return next((path for path in asides_of(folder) if (path / SUMMARY).exists()), None)


def asides_of(folder: Path) -> list[Path]:
    """The runs that `--fresh` moved out of the way of the one in this folder, the last first."""
    found = folder.parent.glob(f"{glob.escape(folder.name)}{ASIDE}*")
    return sorted((path for path in found if moved_aside(path)), reverse=True)


def runs_below(folder: Path) -> Iterator[SavedRun]:
    """Every run at or below a folder, also those that were moved aside, in the order of their names."""
    if not folder.is_dir():
        raise no_folder(folder, hint="say where the runs are: profiler list DIR")
    if holds_run(folder):
        yield SavedRun(folder)
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from runs_below(path)


def find_runs(folder: Path) -> list[SavedRun]:
    """The runs in a folder, or the folder itself if it is one. Runs that `--fresh` moved aside are left out."""
    if not folder.is_dir():
        raise no_folder(folder)
    if holds_run(folder):
        return [SavedRun(folder)]
    found = [SavedRun(path) for path in sorted(folder.iterdir()) if not moved_aside(path) and holds_run(path)]
    if not found:
        raise no_run_in(folder)
    return found


def completed(folder: Path) -> bool:
    """Whether the run in a folder is complete: its summary is written last."""
    return (folder / SUMMARY).exists()


def reduce_logs(log_dir: Path, metrics: Sequence[Metric[Any]], *, complete: bool = True) -> Reduction:
    """Count everything in the two logs of a run directory."""
    return _reduced(read_outcomes(log_dir, complete=complete), metrics, log=log_dir / RESPONSES)


def reduce_and_score(
    log_dir: Path, metrics: Sequence[Metric[Any]], *, first: int = 0, tell: Callable[[str], None]
) -> Reduction:
    """The same of complete logs, and scores.jsonl written from them. Whoever calls it holds the folder."""
    reduction = reduce_and_draft(log_dir, metrics, first=first, tell=tell)
    publish(log_dir)
    sync_folder(log_dir)
    return reduction


def reduce_and_draft(
    log_dir: Path, metrics: Sequence[Metric[Any]], *, first: int = 0, tell: Callable[[str], None]
) -> Reduction:
    """The same, but the scores are still a draft, which becomes scores.jsonl when the summary is written."""
    return to_its_end(reducing(log_dir, metrics, first=first, tell=tell))


def to_its_end(steps: Generator[None, None, Reduction]) -> Reduction:
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            found: Reduction = ended.value
            return found


def reducing(
    log_dir: Path, metrics: Sequence[Metric[Any]], *, first: int = 0, tell: Callable[[str], None]
) -> Generator[None, None, Reduction]:
    """Reduce in steps of about a millisecond each, so that an event loop can do other work in between."""
    scores = ScoreLog(log_dir, metrics, first=first)
    try:
        reduction = Reduction(metrics, note=scores.note)
        outcomes = read_outcomes(log_dir, first=first)
        while batch := list(islice(outcomes, BATCH)):
            with _located(log_dir / RESPONSES):
                reduction.extend(batch)
            yield
        scores.finish()
    except BaseException:
        scores.drop()
        raise
    told = (
        {fault.metric for fault in reduction.faults} if scores.faults else ()
    )  # a part of a run need not be estimated
    for name, fault in scores.faults.items():
        if name not in told:
            tell(fault)
    return reduction


def _metrics_of(
    facts: dict[str, Any], names: Sequence[Any] | None, *, search_path: Path | None
) -> tuple[Metric[Any], ...]:
    return resolve(names or USUAL_METRICS, search_path=search_path, pass_at=facts.get("pass_at") or ())


def begun_in(folder: Path) -> Unfinished | UnfinishedFleet | None:
    """What is kept of an unfinished run, by one process or by several."""
    from profiler.storage.reading.unfinished_fleet import begun  # noqa: PLC0415 (what runs has no use for it)

    return begun(folder)


def _reduced(outcomes: Iterable[Outcome], metrics: Sequence[Metric[Any]], *, log: Path) -> Reduction:
    with _located(log):
        return reduce_outcomes(outcomes, metrics)


@contextmanager
def _located(log: Path) -> Iterator[None]:
    """The error for an outcome that cannot be counted, with the line of the log that it is in."""
    try:
        yield
    except BadOutcome as error:
        raise damaged(log, error.reason, line=error.position + 1) from error
