"""Notes which keys the dialogues of a dataset have, as far as a run must know that before it begins."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from profiler.core.nouns import Dialogue

KEPT_KEYS = 100


class MetKeys:
    """Notes whether any dialogue has the keys by which answers are judged, and which unknown keys there are."""

    def __init__(self) -> None:
        self.facts = False
        self.refusal = False
        self.expected = False
        self.own_keys: set[str] = set()
        self.blocks = False
        self.toolless: str | None = None
        self.formats = False

    def look(self, dialogue: Dialogue) -> None:
        if dialogue.required_facts:
            self.facts = True
        if dialogue.expect_refusal is not None:
            self.refusal = True
        if dialogue.expected is not None:
            self.expected = True
        if dialogue.messages is not None and not self.blocks:
            self.blocks = any(not isinstance(message.content, str) for message in dialogue.messages)
        if dialogue.request is not None and dialogue.request.get("output_format"):
            self.formats = True
        if self.toolless is None and not (dialogue.request and dialogue.request.get("tools")):
            self.toolless = dialogue.dialogue_id
        if dialogue.metadata and len(self.own_keys) < KEPT_KEYS:
            self.own_keys.update(itertools.islice(dialogue.metadata, KEPT_KEYS))

    def met(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**vars(self), "own_keys": sorted(self.own_keys)}

    def add(self, met: Mapping[str, Any]) -> None:
        """What was met in the part of the dataset that follows."""
        for name in ("facts", "refusal", "expected", "blocks", "formats"):
            setattr(self, name, getattr(self, name) or met[name])
        if self.toolless is None:
            self.toolless = met["toolless"]
        if len(self.own_keys) < KEPT_KEYS:
            self.own_keys.update(met["own_keys"])

    def survey_fields(self) -> dict[str, Any]:
        """The fields of a `Survey` that it fills."""
        return {
            "absent": tuple(self._absent()),
            "own_keys": tuple(sorted(self.own_keys)),
            "blocks": self.blocks,
            "toolless": self.toolless,
            "formats": self.formats,
        }

    def _absent(self) -> Iterator[str]:
        if not self.facts:
            yield "required_facts"
        if not self.refusal:
            yield "expect_refusal"
        if not self.expected:
            yield "expected"
