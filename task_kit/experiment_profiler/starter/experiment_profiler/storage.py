"""Names, writes and reads the files of a run: two logs with one line a dialogue, and a summary.

The caller decides what a record holds and in which order records are written.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tools.logging_utils import JsonlWriter, LogError, read_jsonl, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Where the files of one run are."""

    output_dir: Path
    requests_path: Path
    responses_path: Path
    summary_path: Path

    @classmethod
    def inside(cls, folder: Path) -> Artifacts:
        return cls(
            output_dir=folder,
            requests_path=folder / "requests.jsonl",
            responses_path=folder / "responses.jsonl",
            summary_path=folder / "summary.json",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLogs:
    """Both logs of a run, open for writing."""

    requests: JsonlWriter
    responses: JsonlWriter


@contextmanager
def open_logs(artifacts: Artifacts) -> Iterator[RunLogs]:
    """Open new logs in place of those of an earlier run.

    Its summary goes first: a folder with a summary is a finished run.
    """
    artifacts.output_dir.mkdir(parents=True, exist_ok=True)
    artifacts.summary_path.unlink(missing_ok=True)
    with JsonlWriter(artifacts.requests_path) as requests, JsonlWriter(artifacts.responses_path) as responses:
        yield RunLogs(requests=requests, responses=responses)


def write_summary(
    artifacts: Artifacts, *, experiment_id: str, dialogues: int, metrics: Mapping[str, float | None]
) -> None:
    write_json(artifacts.summary_path, {"experiment_id": experiment_id, "dialogues": dialogues, **metrics})


def read_pairs(artifacts: Artifacts) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each dialogue's request and response. Logs that do not belong together are an error."""
    both = zip_longest(read_jsonl(artifacts.requests_path), read_jsonl(artifacts.responses_path))
    for number, (request, response) in enumerate(both, start=1):
        asked, answered = _id_of(request), _id_of(response)
        if asked is None or asked != answered:
            raise LogError(
                f"{artifacts.responses_path}:{number}: found dialogue {answered!r}, expected {asked!r} "
                f"as in line {number} of {artifacts.requests_path.name}"
            )
        yield request, response


def _id_of(record: Mapping[str, Any] | None) -> str | None:
    return None if record is None else record.get("dialogue_id")
