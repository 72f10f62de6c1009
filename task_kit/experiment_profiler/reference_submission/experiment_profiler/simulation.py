"""Chooses and builds the client of a run: Claude, or a simulator with prepared answers."""

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
        """Build a live client if and only if a key is set, so that nobody spends money by mistake."""
        if os.environ.get(KEY):
            return LiveClient(model=model, max_tokens=max_tokens, temperature=temperature)
        return SimulatedClient(self._responses_path, model=model)
