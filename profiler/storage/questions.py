"""Checks, by the hashes in requests.jsonl, that a resumed run asks what it asked before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from profiler.core.nouns import Request
    from profiler.storage.writing.open_run import OpenRun


class Question(msgspec.Struct, gc=False):
    """The part of a line of requests.jsonl that says which question it is."""

    dialogue_id: str
    request_hash: str
    repeat: int = 0


def expect_same_questions(run: OpenRun, planned: Iterable[Request]) -> None:
    """Raise when a kept answer belongs to another question: the dataset was changed during the run and put back."""
    path = run.requests.path
    decode = msgspec.json.Decoder(Question).decode
    with path.open("rb") as lines:
        for number, (line, request, done) in enumerate(zip(lines, planned, run.done, strict=False), 1):
            if done and decode(line).request_hash != request.line.request_hash:
                raise _in_other_words(f"{path}:{number}", decode(line).dialogue_id)


def expect_same_lines(kept: Iterable[Mapping[str, Any]], planned: Iterable[Request], *, run: Path) -> None:
    """The same for lines of requests in dataset order that stand in several folders of a run."""
    rest = iter(planned)
    for line in kept:
        request = next((each for each in rest if each.index == line["index"]), None)
        if request is not None and request.line.request_hash != line["request_hash"]:
            raise _in_other_words(f"{run}", line["dialogue_id"])


def _in_other_words(where: str, dialogue_id: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{where}: dialogue {dialogue_id!r} was asked in other words than the dataset has now: the file was changed while "
        "the run went on",
        hint="start over with --fresh, which moves these answers aside",
    )
