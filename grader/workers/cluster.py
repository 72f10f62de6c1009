"""Hires workers on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.workers.messages import GRADES
from profiler.fleet.ray_driver import workers_on_ray

if TYPE_CHECKING:
    from grader.workers.calls import Hire


def on_ray(address: str | None) -> Hire:
    """On the cluster at this address, or on the one that Ray finds by itself."""
    return lambda: workers_on_ray(GRADES, address)
