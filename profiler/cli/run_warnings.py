"""What stderr shows after a run: its errors, grouped and counted, and the command that asks them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.cli.table import clean
from profiler.core.wording import alike
from profiler.storage.names import RESPONSES
from profiler.storage.reading.read_logs import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SHOWN_GROUPS = 5
MOST_GROUPS = 1_000
LONGEST = 160


class _Failure(msgspec.Struct, gc=False):
    type: str = "unknown"
    message: str = ""


_NOT_KEPT = _Failure(type="the reason is not kept", message="output_fields in the manifest leaves out 'error'")


class _Line(msgspec.Struct, gc=False):
    """The part of a line of responses.jsonl that is needed here; the decoder skips the rest."""

    dialogue_id: str
    type: str
    error: _Failure | None = None


class Group(msgspec.Struct):
    """Errors with the same message, and the first of them."""

    kind: str
    message: str
    dialogue_id: str
    count: int = 0


def warnings(summary: Mapping[str, Any], folder: Path, *, retry: str) -> Iterator[str]:
    """Lines that a reader of the numbers should see; none after a run in which all went well."""
    counts = summary["counts"]
    if failed := counts["error"]:
        share = failed / counts["total"]
        yield f"{failed:,} of {counts['total']:,} dialogues failed ({share:.1%}); no metric but completion_rate counts them"
        groups = grouped(folder)
        for group in groups[:SHOWN_GROUPS]:
            yield f"  {group.count:,} × {clean(group.kind)}: {_shortened(group.message)} (first: {clean(group.dialogue_id)})"
        if beyond := sum(group.count for group in groups[SHOWN_GROUPS:]):
            yield f"  {beyond:,} × other errors, see {folder / RESPONSES}"
        yield f"  ask them again: {retry}"
    if refused := counts["refusal"]:
        yield f"{refused:,} of {counts['answered']:,} answers are refusals"
    if truncated := counts["truncated"]:
        yield f"{truncated:,} of {counts['answered']:,} answers were cut off at max_tokens; raise it in the manifest"


def grouped(folder: Path) -> list[Group]:
    """The errors of a run by kind and message, the most frequent first.

    Messages that differ only in names and numbers are one group. Beyond a thousand groups the rest is one more.
    """
    found: dict[tuple[str, str], Group] = {}
    for line in lines_of(folder / RESPONSES, msgspec.json.Decoder(_Line).decode, complete=False):
        if line.type != "error":
            continue
        error = line.error or _NOT_KEPT
        key = (error.type, alike(error.message))
        if key not in found and len(found) >= MOST_GROUPS:
            key = ("other", "")
        group = found.setdefault(key, Group(key[0], error.message if key[1] else "", line.dialogue_id))
        group.count += 1
    return sorted(found.values(), key=lambda group: -group.count)


def _shortened(message: str) -> str:
    text = " ".join(clean(" ".join(message.split())).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
