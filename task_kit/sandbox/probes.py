"""Attempts to get out of a box, made for real, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """`claimed`: the level says that it stops this. What it does not claim is tried and told all the same."""

    name: str
    stopped: bool
    said: str
    claimed: bool = True
