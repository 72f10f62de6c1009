"""Chooses and builds the client of a run: Claude, or a simulator with prepared answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.anthropic_client import SimulatedClient

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
        # TODO: a LiveClient if and only if ANTHROPIC_API_KEY is set, else a SimulatedClient that knows its model.
        raise NotImplementedError("simulation.py, build_live_or_simulated: choose the live client or the simulator")
