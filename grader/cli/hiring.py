"""Where the processes of --jobs run, by the word behind --on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.workers.calls import on_this_machine

if TYPE_CHECKING:
    from grader.workers.calls import Hire


def hire(on: str | None) -> Hire:
    """`on` is the address of a Ray cluster, empty for the one that Ray finds, None for this machine."""
    if on is None:
        return on_this_machine
    from grader.workers.cluster import on_ray  # noqa: PLC0415 (only a cluster needs its driver)

    return on_ray(on or None)
