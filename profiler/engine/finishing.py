"""The end of an experiment: its logs are counted, and its folder becomes that of a complete run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from profiler.core.wording import printable
from profiler.engine.result import result_of, summarized, summarized_again
from profiler.metrics.builtin import all_builtin
from profiler.storage.journal import first_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from profiler.engine.result import Result
    from profiler.engine.run_resources import RunResources
    from profiler.manifest.settings import Experiment
    from profiler.metrics.metric import Metric
    from profiler.storage.journal import Failed
    from profiler.storage.run_directory import RunDirectory
    from profiler.storage.writing.open_run import OpenRun

    Metrics = Sequence[Metric[Any]]


async def finish(
    directory: RunDirectory,
    opened: OpenRun,
    experiment: Experiment,
    *,
    metrics: Metrics,
    facts: Mapping[str, Any],
    shared: RunResources,
    begun: float,
    tell: Callable[[str], None],
) -> Result:
    """Count the logs, write the summary, and remove what only an unfinished run has."""
    if not (quick := opened.small and all_builtin(metrics)):
        await shared.aside(opened.force_journal)  # a power cut while it is counted loses nothing
    words = directory.folder, experiment, metrics, facts
    summary = await shared.counted(summarized, *words, tell=tell, at_once=quick)
    if summary["counts"]["error"] and "error" not in (experiment.output_fields or ("error",)):
        # responses.jsonl does not say why, and the journal, which does, is about to be removed
        _tell_failure(await shared.aside(first_failure, opened.journal.path), tell=tell)
    await shared.aside(directory.complete, opened, summary)
    elapsed_s = time.perf_counter() - begun
    return result_of(directory, summary, kept=opened.kept + opened.taken, elapsed_s=elapsed_s)


def _tell_failure(failed: Failed | None, *, tell: Callable[[str], None]) -> None:
    if failed is not None and failed.error is not None:
        tell(printable(f"{failed.dialogue_id!r} failed, {failed.error.type}: {failed.error.message}"))


async def finish_again(
    directory: RunDirectory,
    summary: dict[str, Any],
    experiment: Experiment,
    *,
    metrics: Metrics,
    shared: RunResources,
    tell: Callable[[str], None],
) -> Result:
    """The result of a run that was complete already, counted or judged again where the manifest has changed."""
    found = await shared.counted(summarized_again, directory, summary, experiment, metrics, tell=tell)
    return result_of(directory, found, kept=found["counts"]["total"], elapsed_s=0.0)
