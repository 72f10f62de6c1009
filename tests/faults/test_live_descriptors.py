"""A live run and the limit on open files, end to end."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from tests.faults.live import live_run, live_site, provider
from tests.faults.runs import dialogues

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_raises_the_soft_limit_as_far_as_its_calls_need(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    site = live_site(tmp_path, dialogues(4), concurrency=400)
    with provider(site):  # which raises the limit for itself
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        try:
            run = live_run(site)
            raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert run.code == 0, run
    assert "open files" not in run.err
    assert raised > 400


def test_a_run_says_when_the_hard_limit_is_too_low_and_keeps_to_it(tmp_path: Path) -> None:
    """In a process of its own: a hard limit that was lowered stays low."""
    site = live_site(tmp_path, dialogues(4), concurrency=400)
    with provider(site):
        run = site.run(wrapper=["sh", "-c", 'ulimit -n 200 && exec "$0" "$@"'])

    assert run.code == 0, run
    assert "the system allows this process 200 open files" in run.err
