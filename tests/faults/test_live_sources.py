"""Answers of two addresses never mix: whole runs, killed and taken up again, over two servers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.faults.live import KEY, live_run, live_site, provider, start
from tests.faults.runs import Ended, Site, dialogues, refused, wait_until, whole_records

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 60


def elsewhere(site: Site) -> Site:
    """The same manifest and folder, for a server at another address."""
    return replace(site, environ={"ANTHROPIC_API_KEY": KEY})


def names_both(run: Ended, before: str, now: str) -> bool:
    """Whether the run was refused with what differs and what can be done, and not called complete."""
    assert "already complete" not in run.said
    return refused(run, f"address: the run has '{before}', now it is '{now}'", "--fresh", "--output-dir")


def test_a_killed_run_is_not_taken_up_at_another_address(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(COUNT), concurrency=4)
    with provider(site, latency_s=0.02) as first:
        run = start(site)
        wait_until(run, lambda: first.calls >= COUNT // 2)
        assert run.kill()
        asked = first.calls
        with provider(other := elsewhere(site)) as second:
            assert names_both(live_run(other), first.url, second.url)
            assert second.calls == 0
        assert live_run(site).code == 0
        assert first.calls < asked + COUNT

    records = whole_records(site.responses)
    assert [record["index"] for record in records] == list(range(COUNT))
    assert "error" not in {record["type"] for record in records}


def test_a_complete_run_is_not_complete_for_another_address(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(3))
    with provider(site) as first:
        assert live_run(site).code == 0
        before = site.results()
        with provider(other := elsewhere(site)) as second:
            assert names_both(live_run(other), first.url, second.url)
            assert second.calls == 0
            assert site.results() == before
            assert live_run(other, "--fresh").code == 0
            assert second.calls == 3
    assert len(list(site.run_dir.parent.glob("trial.old-*"))) == 1
