"""Which client answers a run: Claude, or prepared answers.

Comes in: the path of the prepared answers. Goes out: a client with `complete(sample)`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tools.anthropic_client import KEY, LiveClient, SimulatedClient

if TYPE_CHECKING:
    from pathlib import Path

    from tools.anthropic_client import Client


class ClientFactory:
    """Builds the client of a run."""

    def __init__(self, responses_path: Path) -> None:
        self._responses_path = responses_path

    def build_simulator(self) -> Client:
        return SimulatedClient(self._responses_path)

    def build_live_or_simulated(self, *, model: str, max_tokens: int, temperature: float) -> Client:
        """Live if and only if a key is set, so that nothing is spent by mistake."""
        if os.environ.get(KEY):
            return LiveClient(model=model, max_tokens=max_tokens, temperature=temperature)
        return SimulatedClient(self._responses_path, model=model)
