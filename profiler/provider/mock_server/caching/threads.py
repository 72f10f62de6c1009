"""Conversations that the server holds, so that a client sends only what is new: the `thread` of the beta API."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from profiler.provider.mock_server.reading.prompts import Said
from profiler.provider.mock_server.settings import not_found

if TYPE_CHECKING:
    from profiler.provider.mock_server.reading.prompts import Prompt

MOST_HELD = 1000


class Threads:
    """Each conversation under the id of the message that it ended with."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, list[Said]] = OrderedDict()

    def reset(self) -> None:
        self._held.clear()

    def whole(self, prompt: Prompt) -> list[Said]:
        """The messages of a request, after those that are held for it."""
        if prompt.thread is None or prompt.thread["type"] != "continue":
            return prompt.messages
        previous = prompt.thread["previous_message_id"]
        if previous not in self._held:
            message = f"thread: no conversation ended with the message {previous[:100]!r}"
            raise not_found(message, code="thread_not_found")
        return [*self._held[previous], *prompt.messages]

    def hold(self, prompt: Prompt, message: dict[str, Any]) -> None:
        """Keep a conversation with the answer it got, where the request asks for it."""
        if prompt.thread is None:
            return
        self._held[message["id"]] = [*prompt.messages, Said("assistant", message["content"])]
        if len(self._held) > MOST_HELD:
            self._held.popitem(last=False)
