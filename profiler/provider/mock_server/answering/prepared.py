"""Answers that were written down beforehand: the file of `--responses`.

An entry is found by its name, which is that of a dialogue or the whole text that was asked, else by its patterns.
Besides what the mock of a manifest reads, an entry may hold content blocks, or a sequence of answers: one for each
time that it is asked. A list is such a sequence too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import ManifestError, Problem
from profiler.provider.mock_server.reading.prompts import blocks_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.provider.mock_server.reading.prompts import Prompt

SHAPE = 'such as {"dialogue_id": {"completion": "…"}}; docs/mock_server.md says what else an entry may hold'


class Patterns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Regular expressions that all must be found for an entry to be taken."""

    text: str | None = None  # in what the user said last
    tool_result: str | None = None  # in what a tool gave last
    model: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prepared answer, or several in turn."""

    completion: str | None = None
    replies: tuple[str, ...] = ()
    content: list[dict[str, Any]] | None = None
    sequence: tuple[Entry, ...] | None = None
    when: Patterns | None = None
    stop_reason: str | None = None
    stop_details: dict[str, Any] | None = None  # of a refusal: its category and explanation
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}  # read by the mock of a manifest, which shares the file


class Repeats(Entry, frozen=True, kw_only=True):
    """A sequence that is written as a list alone: the answers to the repeats of a dialogue, which begin anew after the
    last."""


class Prepared:
    """The entries of a file, and how often each was used."""

    def __init__(self, path: Path | None) -> None:
        self._entries = _load(path) if path is not None else {}
        self._patterns = [(name, entry) for name, entry in self._entries.items() if entry.when is not None]
        self._used: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def reset(self) -> None:
        """Every sequence begins again."""
        self._used.clear()

    def find(self, prompt: Prompt, *, dialogue_id: str) -> tuple[str, Entry] | None:
        """The entry for a request, with its name, and of a sequence the one whose turn it is."""
        name, entry = dialogue_id, self._entries.get(dialogue_id)
        if entry is None or entry.when is not None:
            found = next(((name, entry) for name, entry in self._patterns if _fits(entry.when, prompt)), None)
            if found is None:
                return None
            name, entry = found
        if entry.sequence is not None:
            used, most = self._used.get(name, 0), len(entry.sequence)
            entry = entry.sequence[used % most if isinstance(entry, Repeats) else min(used, most - 1)]
        return name, entry

    def use(self, name: str) -> None:
        """The answer really is given: of a sequence the next one is due."""
        if self._entries[name].sequence is not None:
            self._used[name] = self._used.get(name, 0) + 1


def _fits(patterns: Patterns | None, prompt: Prompt) -> bool:
    if patterns is None:
        return False
    last = prompt.messages[-1].content
    results = [block for block in blocks_of(last) if block["type"] == "tool_result"]
    found = {
        "text": [text_of(last)] if text_of(last) else [],
        "tool_result": [text_of(block.get("content", "")) for block in results],
        "model": [prompt.model],
    }
    wanted = {name: pattern for name in found if (pattern := getattr(patterns, name)) is not None}
    return all(any(re.search(pattern, text) for text in found[name]) for name, pattern in wanted.items())


def _load(path: Path) -> dict[str, Entry]:
    try:
        written = msgspec.json.decode(path.read_bytes(), type=dict[str, Entry | list[Entry]])
    except OSError as error:
        raise ManifestError([Problem(path=str(path), message=f"cannot read: {error.strerror}")]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"found a file that does not decode ({error}), expected prepared answers by name"
        raise ManifestError([Problem(path=str(path), message=message, hint=SHAPE)]) from error
    entries = {
        name: Repeats(sequence=tuple(entry)) if isinstance(entry, list) else entry for name, entry in written.items()
    }
    problems = [
        Problem(path=str(path), message=f"{name}: {problem}", hint=SHAPE)
        for name, entry in entries.items()
        for problem in _problems(entry)
    ]
    if problems:
        raise ManifestError(problems)
    return entries


def _problems(entry: Entry) -> list[str]:
    held = [name for name in ("completion", "content", "sequence") if getattr(entry, name) is not None]
    problems = []
    if len(held) != 1:
        found = " and ".join(held) or "none of them"
        problems.append(f"found {found}, expected one of completion, content and sequence")
    if any("type" not in block for block in entry.content or ()):
        problems.append("content: found a block without type")
    if entry.sequence == ():
        problems.append("sequence: found an empty list, expected at least one answer")
    for pattern in (entry.when.text, entry.when.tool_result, entry.when.model) if entry.when else ():
        try:
            re.compile(pattern or "")
        except re.error as error:
            problems.append(f"when: found {pattern!r}, which is no regular expression: {error}")
    return problems + [f"sequence: {problem}" for inner in entry.sequence or () for problem in _problems(inner)]
