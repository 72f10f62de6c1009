"""What a worker ends when nobody wants its results any more, besides itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

ENDS: list[Callable[[], object]] = [sandbox.give_up]  # called again until nobody works any more


def end_what_runs() -> None:
    for end in ENDS:
        end()
