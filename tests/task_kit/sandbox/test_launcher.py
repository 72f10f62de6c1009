"""A box on its way, as the process that waits for it sees it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from task_kit.sandbox import launcher

if TYPE_CHECKING:
    import pytest


def test_a_box_is_known_to_be_abandoned_before_it_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report may come at once, and who waits for it must not take it for an end of its own."""
    reports, lifeline = os.pipe()
    asked = launcher.Asked(lifeline=lifeline, reports=reports)
    seen = []
    close = os.close

    def closing(fd: int) -> None:
        seen.append((fd, asked.abandoned))
        close(fd)

    monkeypatch.setattr(os, "close", closing)
    asked.abandon()
    asked.abandon()
    monkeypatch.undo()
    asked.close()

    assert seen == [(lifeline, True)]
