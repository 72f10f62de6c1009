"""The result of a run: its logs reduced to a summary and judged by the manifest's thresholds, and what is told of the run
itself."""

from __future__ import annotations

import platform
import traceback
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from profiler import __version__
from profiler.core.errors import ProfilerError
from profiler.core.json import dumps, loads
from profiler.engine.run_money import MONEY, OF_SEVERAL
from profiler.manifest.metrics import called, plain
from profiler.metrics import summary
from profiler.metrics.builtin import BUILTIN
from profiler.provider.source import facts
from profiler.storage import run_directory
from profiler.storage.identity import now
from profiler.storage.reading.saved_run import reduce_and_draft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.metrics.metric import Metric
    from profiler.metrics.reduction import Reduction
    from profiler.provider.source import Source
    from profiler.storage.journal import Header
    from profiler.storage.run_directory import RunDirectory


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A complete run. `missed` has a sentence for each threshold that it missed. `answered_now` and `kept` count answers,
    of which there are `repeats` for each dialogue."""

    folder: Path
    repeats: int = 1
    answered_now: int
    kept: int
    elapsed_s: float
    missed: list[str]
    packed_summary: bytes  # a run of ten thousand experiments has as many

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says, as a value of the caller's own."""
        found: dict[str, Any] = loads(zlib.decompress(self.packed_summary))
        return found

    @property
    def summary_path(self) -> Path:
        return run_directory.summary_path(self.folder)


def result_of(directory: RunDirectory, found: dict[str, Any], *, kept: int, elapsed_s: float) -> Result:
    return Result(
        folder=directory.folder,
        repeats=found["run"].get("repeats", 1),
        answered_now=found["counts"]["total"] - kept,
        kept=kept,
        elapsed_s=elapsed_s,
        missed=summary.missed(found),
        packed_summary=zlib.compress(dumps(found), level=1),
    )


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How one of many experiments ended: with a result, or with the error that ended it alone."""

    experiment_id: str
    result: Result | None = None
    error: Exception | None = None
    begun: bool = True

    @staticmethod
    def failed(experiment_id: str, error: Exception, *, of_many: bool) -> Ended:
        """`of_many`: the error is kept until the others have ended, so it must not hold on to what its run has used."""
        if of_many:
            _forget_frames(error)
        return Ended(experiment_id=experiment_id, error=error)

    @staticmethod
    def not_begun(experiment: Experiment, reason: Exception | None) -> Ended:
        return Ended(experiment_id=experiment.experiment_id, error=reason, begun=False)


def _forget_frames(error: BaseException) -> None:
    """The words of an error stay, and for a bug the lines that led to it, but not the values that its frames hold."""
    if isinstance(error, ProfilerError):
        error.__traceback__ = error.__cause__ = error.__context__ = None
    else:
        error.__cause__ = error.__context__ = None
        traceback.clear_frames(error.__traceback__)


def summarized(
    folder: Path,
    experiment: Experiment,
    metrics: Sequence[Metric[Any]],
    facts: Mapping[str, Any],
    *,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The summary of complete logs; the scores of their items are drafted, and get their name when it is written."""
    return summary_of(reduce_and_draft(folder, metrics, tell=tell), experiment, metrics, facts, tell=tell)


def summary_of(
    reduction: Reduction,
    experiment: Experiment,
    metrics: Sequence[Metric[Any]],
    facts: Mapping[str, Any],
    *,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """What was counted as a summary. A metric that fails is reported, and does not affect the others."""
    for fault in reduction.faults:
        tell(str(fault))
    return _judged(summary.build(reduction, _with_directions(facts, metrics)), experiment, metrics)


def facts_of_run(
    experiment: Experiment, header: Header, source: Source, *, options: Options, told: dict[str, Any]
) -> dict[str, Any]:
    """The `run` part of summary.json. In mock mode it holds only what is the same in two equal runs.

    `told` is what only the run itself can tell: its money, sessions, what was resumed and what bound it.
    """
    live = source.mode == "live"
    return {
        "experiment_id": experiment.experiment_id,
        "mode": source.mode,
        **facts(source),
        **header.counts,
        "manifest_sha256": options.manifest_sha256,
        "dataset_sha256": header.identity["dataset_sha256"],
        "versions": {"profiler": __version__, "python": platform.python_version()},
        **_measured(experiment),
        **{name: told[name] for name in MONEY},
        **{name: told[name] for name in OF_SEVERAL if name in told},
        "started": header.started,
        "finished": now(source.mode),
        "resumed": told["resumed"] if live else None,
        "sessions": told["sessions"] if live else None,
        "bound_by": told["bound_by"],
        "identity": header.identity,
    }


def _measured(experiment: Experiment) -> dict[str, Any]:
    pass_at = {"pass_at": list(experiment.pass_at)} if experiment.pass_at else {}
    return {"metrics": plain(experiment.metrics), **pass_at}


def _with_directions(facts: Mapping[str, Any], metrics: Sequence[Metric[Any]]) -> dict[str, Any]:
    """Note in the summary which way the user's own metrics are better: whoever compares runs later may not have their code."""
    own = {each.name: each.better for each in metrics if each.better is not None and each.name not in BUILTIN}
    known = {name: fact for name, fact in facts.items() if name != "better"}
    return {**known, "better": own} if own else known


def summarized_again(
    directory: RunDirectory,
    done: dict[str, Any],
    experiment: Experiment,
    metrics: Sequence[Metric[Any]],
    *,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The summary of a run that was complete already, counted or judged again where the manifest has changed."""
    failed = [name for name, found in done["metrics"].items() if "error" in found]
    measured, facts = _measured(experiment), done["run"]
    if failed or measured != {key: facts[key] for key in ("metrics", "pass_at") if key in facts}:
        reason = f"{', '.join(failed)} had failed" if failed else "the manifest names other metrics"
        tell(f"{reason}: counted again from the logs")
        now: dict[str, Any] = {}
        for key, fact in facts.items():  # in the order of a new run, so that the summary has the same bytes
            now |= measured if key == "metrics" else {key: fact} if key != "pass_at" else {}
        result = summarized(directory.folder, experiment, metrics, now | measured, tell=tell)
        directory.write_summary(result)
        return result
    result = _judged(done, experiment, metrics)
    if result != done:
        directory.write_summary(result)
    return result


def _judged(result: dict[str, Any], experiment: Experiment, metrics: Sequence[Metric[Any]]) -> dict[str, Any]:
    """Apply the thresholds.

    The manifest may name a metric `module:attribute`; the summary has the metric's own name.
    """
    own = (metric.name for metric in metrics if metric.part_of is None)
    names = dict(zip(map(called, experiment.metrics), own, strict=True))
    return summary.judged(result, {names.get(name, name): bounds for name, bounds in experiment.bounds().items()})
