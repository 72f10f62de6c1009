"""What a run is: by what it is told from others, and what its summary says of it.

Comes in: the experiment, the options, what the folder holds already. Goes out: the journal's header and the
`run` part of summary.json. Asks nothing and writes nothing.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from profiler import __version__
from profiler.core.errors import RunDirectoryError
from profiler.dataset import file
from profiler.dataset.unchanged import fingerprint
from profiler.manifest.load import snapshot
from profiler.storage import journal, ledger, resume, summary_file
from profiler.storage.journal import Header

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.core.nouns import Mode
    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget


def header_of(experiment: Experiment, *, options: Options, before: resume.Earlier | None) -> Header:
    """What this run is. A dataset that an earlier run has checked is only hashed again."""
    sha256 = fingerprint(experiment.dataset_path) if before is not None else None
    if before is not None and sha256 == before.identity.get("dataset_sha256"):
        count = before.count
    else:
        survey = file.survey(experiment.dataset_path, limit=options.limit)
        count, sha256 = survey.count, survey.sha256
    answers = experiment.mock.responses_path
    identity = {
        **snapshot(experiment),
        "mode": options.mode,
        "limit": options.limit,
        "dataset_sha256": sha256,
        "mock_responses_sha256": fingerprint(answers) if answers and options.mode == "mock" else None,
    }
    return Header(journal=journal.FORMAT, count=count, identity=identity, started=_now(options.mode))


def complete_run(folder: Path) -> resume.Earlier | None:
    """The finished run in this folder, if its summary says enough of it."""
    if not (folder / resume.SUMMARY).exists():
        return None
    facts = summary_file.read(folder)["run"]
    count, identity = facts.get("dialogues"), facts.get("identity")
    if type(count) is not int or not isinstance(identity, dict):
        raise RunDirectoryError(
            f"{folder}: holds the summary of a run that does not say what it asked",
            hint="choose another --output-dir, or use --fresh to move it aside",
        )
    return resume.Earlier(count=count, identity=identity, complete=True)


def facts_of(
    experiment: Experiment,
    header: Header,
    *,
    options: Options,
    resumed: dict[str, int],
    bound_by: dict[str, Any] | None,
    budget: Budget | None,
) -> dict[str, Any]:
    """The `run` part of summary.json. In mock mode it holds nothing that two equal runs would not share."""
    live = options.mode == "live"
    return {
        "experiment_id": experiment.experiment_id,
        "mode": options.mode,
        "dialogues": header.count,
        "manifest_sha256": options.manifest_sha256,
        "dataset_sha256": header.identity["dataset_sha256"],
        "versions": {"profiler": __version__, "python": platform.python_version()},
        "metrics": list(experiment.metrics),
        **ledger.facts(budget),
        "started": header.started,
        "finished": _now(options.mode),
        "resumed": resumed if live else None,
        "bound_by": bound_by,
        "identity": header.identity,
    }


def _now(mode: Mode) -> str | None:
    return datetime.now(UTC).isoformat(timespec="seconds") if mode == "live" else None
