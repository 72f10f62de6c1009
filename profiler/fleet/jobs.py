"""Makes the job of a worker: the whole run where a broker shares it out, else a share of its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.fleet.messages import Job
from profiler.fleet.shares import share_of

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.fleet.messages import Lender
    from profiler.fleet.preparing.prepare import Prepared


def job_of(
    prepared: Prepared,
    options: Options,
    *,
    worker: int,
    workers: int,
    cap: int | None,
    lender: Lender | None = None,
    known: Path | None = None,
    boot: str | None = None,
) -> Job:
    """The job of one of `workers` workers. `cap` is in pico-dollars; the file `known` holds answers of earlier runs."""
    experiment = prepared.experiment
    concurrency = options.concurrency or experiment.concurrency
    if lender is None:
        experiment, concurrency = share_of(experiment, options, worker=worker % workers, workers=workers)
    return Job(
        worker=worker,
        folder=str(prepared.folders.root.parent),
        experiment=experiment,
        mode=prepared.source.mode,
        lane=options.lane,
        search_path=None if options.plugins_folder is None else str(options.plugins_folder),
        fsync=options.fsync,
        retry_failed=options.retry_failed,
        concurrency=concurrency,
        cap=cap,
        broker=lender,
        known_answers=None if known is None else str(known),
        boot=boot,
    )
