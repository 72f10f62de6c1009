"""Shards that borrow from one broker: together they keep one cap and use all of it, which equal shares could not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from profiler.cli.main import main
from profiler.fleet.shards.broker_service import TOKEN_FILE
from tests.faults.live import live_site, provider
from tests.faults.runs import dialogues
from tests.faults.test_live_money import billed_usd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.runs import Site

CAP_USD = 0.02


@contextmanager
def broker(site: Site, *words: str) -> Iterator[str]:
    """The address on which it listens."""
    where = ["--config", str(site.manifest), "--output-dir", str(site.folder / site.runs)]
    command = [sys.executable, "-m", "profiler", "broker", *where, "--workers", "2", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=site.folder) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            assert said.startswith("listening on tcp://"), said
            yield said.split()[2].rstrip(";")
        finally:
            process.terminate()
            process.communicate(timeout=30)


def test_shards_with_a_broker_share_one_cap(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(900), concurrency=8)
    with provider(site, latency_s=0.005) as paid, broker(site, "--max-cost", f"{CAP_USD}") as address:
        token = site.run_dir / "fleet" / TOKEN_FILE
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        words = ("--max-cost", f"{CAP_USD}", "--broker", address, "--shard")
        first = site.run(*words, "0/2")
        billed = billed_usd(paid)
        second = site.run(*words, "1/2")

    assert first.code == 4, first
    assert "the cap of all shards together could be passed" in first.err
    assert 0.9 * CAP_USD <= billed <= CAP_USD  # an equal share would have ended at half of it
    assert second.code == 4, second
    assert billed_usd(paid) <= CAP_USD
    assert not token.exists()


@pytest.mark.parametrize(
    ("capped", "lends", "said"),
    [
        (("--max-cost", "1"), (), "the worker keeps a cap and the broker does not"),
        ((), ("--max-cost", "1"), "the broker keeps a cap and the worker does not"),
    ],
)
def test_a_cap_that_only_one_of_both_keeps_is_told_before_anything_is_spent(
    tmp_path: Path, capped: tuple[str, ...], lends: tuple[str, ...], said: str
) -> None:
    site = live_site(tmp_path, dialogues(20))
    with provider(site) as paid, broker(site, *lends) as address:
        run = site.run("--broker", address, "--shard", "0/2", *capped)

    assert run.code == 2, run
    assert said in run.err
    assert paid.calls == 0


def test_a_token_that_the_broker_does_not_know_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(20))
    with provider(site) as paid, broker(site, "--max-cost", "1") as address:
        stranger = site.at(site.runs, PROFILER_BROKER_TOKEN="of-another-run")
        run = stranger.run("--broker", address, "--shard", "0/2", "--max-cost", "1")

    assert run.code == 2, run
    assert f"the broker at {address} does not know the token of this command" in run.err
    assert paid.calls == 0
    assert "of-another-run" not in run.err


def test_without_a_token_one_is_told_what_to_start_first(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(3))
    with provider(site):
        run = site.run_here("--broker", "tcp://127.0.0.1:1", "--shard", "0/2")

    assert run.code == 2
    assert "found no token for the broker" in run.err
    assert "hint: start profiler broker first" in run.err


def test_a_token_of_the_environment_is_in_no_file(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(3))
    before = dict(os.environ)
    os.environ["PROFILER_BROKER_TOKEN"] = "of-the-environment"
    try:
        with broker(site, "--max-cost", "1"):
            folder = site.run_dir / "fleet"
            assert not (folder / TOKEN_FILE).exists()
            assert all(b"of-the-environment" not in path.read_bytes() for path in folder.iterdir())
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--broker", "tcp://127.0.0.1:1"], "--broker needs --shard"),
        (["run", "--broker", "http://127.0.0.1:1", "--shard", "0/2", "--mode", "live"], "expected tcp://HOST:PORT"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = live_site(tmp_path, dialogues(3))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("PROFILER_BROKER_TOKEN", "t")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    where = ["--config", str(site.manifest), "--output-dir", str(tmp_path / "runs")]

    assert main([words[0], *where, *words[1:]]) == 2
    assert said in capsys.readouterr().err
