"""Whatever a client sends that its types allow, or nearly so, gets a message or the API's error; nothing else happens."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaMessage

from profiler.core.json import dumps
from profiler.core.shapes import Shape, table
from profiler.provider.mock_server.delivery.events import events
from profiler.provider.mock_server.messages import Messages
from profiler.provider.mock_server.settings import ApiError, ServerSettings
from tests.profiler.provider.mock_server.reading.asking import BETA, NEW

JUNK: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", " ", "x", [], [None], {}, {"type": "text"}, {"type": None}, "\0é")
TEXTS = ("Hello", "a", "claude-haiku-4-5", "toolu_1", "x y", "https://example.com", "aGVsbG8=")
USUAL: dict[str, Any] = {"model": "claude-any", "max_tokens": 500}
DEEPEST = 7


class Writer:
    """Writes values of a shape; `spoils` is how often a part of it is junk instead."""

    def __init__(self, random: Random, *, spoils: float) -> None:
        self._random = random
        self._spoils = spoils

    def body(self, root: str) -> dict[str, Any]:
        written = self._structure(root, 0) | {
            name: value for name, value in USUAL.items() if self._random.random() < 0.95
        }
        if self._random.random() < 0.5:
            written["messages"] = [{"role": "user", "content": "Hello"}]
        return written

    def _structure(self, name: str, depth: int) -> dict[str, Any]:
        fields = table().structures[name].fields
        chance = 0.5 if depth < 3 else 0.1
        given = {field for field, (needed, _) in fields.items() if needed or self._random.random() < chance}
        return {field: self.value(fields[field][1], depth + 1) for field in fields if field in given}

    def value(self, shape: Shape, depth: int) -> Any:
        random = self._random
        if random.random() < self._spoils:
            return random.choice(JUNK)
        if isinstance(shape, str):
            return self._structure(shape[1:], depth) if shape.startswith("#") else self._plain(shape)
        kind, *inner = shape
        if kind == "=":
            return random.choice(inner)
        if kind == "|":
            return self.value(random.choice(inner if depth < DEEPEST else inner[-1:]), depth)
        count = random.randint(0, 2) if depth < DEEPEST else 0
        if kind == "[]":
            return [self.value(inner[0], depth + 1) for _ in range(count)]
        return {random.choice(TEXTS): self.value(inner[0], depth + 1) for _ in range(count)}

    def _plain(self, kind: str) -> Any:
        random = self._random
        return {
            "str": random.choice(TEXTS),
            "int": random.choice((0, 1, 1024, 4096)),
            "float": 0.5,
            "bool": random.random() < 0.5,
            "null": None,
            "any": random.choice((*JUNK, {"type": "object", "properties": {"a": {"type": "integer"}}})),
        }[kind]


@pytest.mark.parametrize("spoils", [0.0, 0.02])
@pytest.mark.parametrize("root", ["message", "beta_message"])
def test_there_is_always_an_answer(root: str, spoils: float) -> None:
    server = Messages(ServerSettings(models=("claude-any",), tool_rate=1.0))
    version = BETA if root == "beta_message" else NEW
    answered, refused = 0, set()
    for seed in range(1500):
        body = dumps(Writer(Random(seed), spoils=spoils).body(root))
        try:
            answer = server.answer(server.read(body, version=version), now=float(seed))
        except ApiError as error:
            refused.add((error.status, error.message[:40]))
            continue
        answered += 1
        server.given(answer, now=float(seed), begins_at=float(seed))
        (Message if root == "message" else BetaMessage).model_validate(answer.message)
        assert b"".join(written for written, _ in events(answer.message)).endswith(b'"message_stop"}\n\n')

    assert answered > 30
    assert len(refused) > 30
    assert {status for status, _ in refused} <= {400, 404}
