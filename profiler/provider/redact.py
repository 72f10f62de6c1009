"""Keeps secrets out of messages: replaces known ones, and whatever looks like an API key."""

from __future__ import annotations

import re

BLOT = "[redacted]"
SHORTEST_SECRET = 4  # a shorter one protects nothing, and replacing it would garble every message
_KEY = re.compile(r"sk-ant-[A-Za-z0-9_-]+|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}")


class Redactor:
    """Replaces secrets in a text. Its repr does not hold them."""

    def __init__(self, *secrets: str | None) -> None:
        self._secrets = [secret for secret in secrets if secret and len(secret) >= SHORTEST_SECRET]

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLOT)
        return _KEY.sub(BLOT, text)
