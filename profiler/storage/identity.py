"""The identity of a run: everything that decides what is asked, of whom, and how it is answered.

Two runs with the same identity may share their answers; a run directory refuses to be resumed under another one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from profiler.core import json as codec
from profiler.dataset import file
from profiler.dataset.selection import ALL, Selection
from profiler.dataset.unchanged import fingerprint
from profiler.storage import journal
from profiler.storage.journal import Header

if TYPE_CHECKING:
    from profiler.core.nouns import Mode
    from profiler.dataset.file import Survey
    from profiler.dataset.unchanged import Stamp
    from profiler.manifest.settings import Experiment
    from profiler.provider.source import Source
    from profiler.storage.run_directory import Earlier

SETTINGS = (  # the settings of an experiment that change what is asked or answered
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "system",
    "stop_sequences",
    "thinking",
    "effort",
    "cache",
    "log_schema_version",
    "output_fields",
    "mock",
)
# The same, told only where they differ from what is usual: runs of versions that did not know them stay what they are.
ADDED_SETTINGS: dict[str, Any] = {
    "dataset_fields": {},
    "repeats": 1,
    "tools": [],
    "tool_choice": None,
    "output_format": None,
    "request": {},
}


class Examined(NamedTuple):
    """The header of the run that is wanted, and what was found in its dataset (None if that was known already)."""

    header: Header
    survey: Survey | None


def examine(
    experiment: Experiment,
    *,
    source: Source,
    selection: Selection = ALL,
    before: Earlier | None,
    stamp: Stamp | None = None,
    known: Survey | None = None,
) -> Examined:
    """Make the header for a run of this experiment.

    A dataset that an earlier run has checked is only hashed again. `known` is what others have found in it just now, if
    they have.
    """
    survey = None
    sha256 = fingerprint(experiment.dataset_path) if before is not None else None
    if before is not None and sha256 == before.identity.get("dataset_sha256"):
        count = before.count
    else:
        path, fields = experiment.dataset_path, experiment.dataset_fields
        survey = known or file.survey(path, fields=fields, selection=selection)
        count, sha256 = survey.count * experiment.repeats, survey.sha256
    answers = experiment.mock.responses_path
    mocked = source.mode == "mock"
    identity = {
        **snapshot(experiment),
        **msgspec.structs.asdict(source),
        "limit": selection.limit,
        **({} if selection.is_all else {"selection": selection.as_plain()}),
        "dataset_sha256": sha256,
        "mock_responses_sha256": fingerprint(answers) if answers and mocked else None,
    }
    if not mocked:
        del identity["mock"]  # settings of the mock change nothing in a live run
    header = Header(
        journal=journal.FORMAT, count=count, identity=identity, started=now(source.mode), dataset_stamp=stamp
    )
    return Examined(header, survey)


def is_known(experiment: Experiment, *, selection: Selection, before: Earlier | None) -> bool:
    """Whether `examine` need not read the dataset, because another experiment has asked it."""
    path, fields = experiment.dataset_path, experiment.dataset_fields
    return before is None and file.is_surveyed(path, fields=fields, selection=selection)


def snapshot(experiment: Experiment) -> dict[str, Any]:
    """The settings that belong to the identity, as plain JSON values. Files are not named in it but hashed."""
    plain = codec.loads(codec.encode(experiment, enc_hook=str))
    plain["mock"].pop("responses_path")
    settings = {name: plain[name] for name in SETTINGS}
    return settings | {name: plain[name] for name, usual in ADDED_SETTINGS.items() if plain[name] != usual}


def now(mode: Mode) -> str | None:
    """The time for the header and summary. Mock runs have none, so that equal runs give equal bytes."""
    return datetime.now(UTC).isoformat(timespec="seconds") if mode == "live" else None
