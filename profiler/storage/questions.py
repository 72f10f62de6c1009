"""Checks, by the hashes in requests.jsonl, that a resumed run asks what it asked before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from profiler.core.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from profiler.core.nouns import Request
    from profiler.storage.resume import OpenRun


class _Asked(msgspec.Struct, gc=False):
    dialogue_id: str
    request_hash: str


def expect_same_questions(run: OpenRun, planned: Iterable[Request]) -> None:
    """Raise when a kept answer belongs to another question: the dataset was changed during the run and put back."""
    path = run.requests.path
    decode = msgspec.json.Decoder(_Asked).decode
    with path.open("rb") as lines:
        for number, (line, request, done) in enumerate(zip(lines, planned, run.done, strict=False), 1):
            if done and decode(line).request_hash != request.line.request_hash:
                raise RunDirectoryError(
                    f"{path}:{number}: dialogue {decode(line).dialogue_id!r} was asked in other words than the dataset "
                    "has now: the file was changed while the run went on",
                    hint="start over with --fresh, which moves these answers aside",
                )
