"""Which dialogue of the dataset a request belongs to, so that it gets that dialogue's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.core.nouns import Dialogue
from profiler.dataset import file
from profiler.provider.mock_server.reading.prompts import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.provider.mock_server.reading.prompts import Prompt


class Dialogues:
    """Finds dialogues by their id, by the last text that was said, and by the text that opens the conversation."""

    def __init__(self, path: Path | None) -> None:
        self._by_id: dict[str, Dialogue] = {}
        self._by_text: dict[str, Dialogue] = {}
        self._by_opening: dict[str, Dialogue] = {}
        for dialogue in file.read(path) if path is not None else ():
            self._by_id[dialogue.dialogue_id] = dialogue
            if dialogue.turns is not None:
                self._by_opening.setdefault(dialogue.turns[0], dialogue)
            else:
                self._by_text.setdefault(_last_text(dialogue), dialogue)

    def find(self, prompt: Prompt, *, named: str | None) -> Dialogue:
        """The dialogue named by a header, else the one whose text was sent, else one that is named by its text."""
        last, first = prompt.asked()
        if named is not None:
            return self._by_id.get(named) or Dialogue(dialogue_id=named, user=last)
        known = self._by_text.get(last) or self._by_opening.get(first)
        return known or Dialogue(dialogue_id=last, user=last)

    def knows(self, dialogue: Dialogue) -> bool:
        return dialogue.dialogue_id in self._by_id


def _last_text(dialogue: Dialogue) -> str:
    return text_of(dialogue.messages[-1].content) if dialogue.messages is not None else dialogue.user or ""
