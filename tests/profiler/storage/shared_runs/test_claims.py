"""Who may work on a run that shards share, with locks and without."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.core.errors import RunDirectoryError
from profiler.storage.folder_lock import locked
from profiler.storage.shared_runs import lease
from profiler.storage.shared_runs.claims import Claims


@pytest.fixture(
    params=[None, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL], ids=["locks", "ENOLCK", "EOPNOTSUPP", "EINVAL"]
)
def claims(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Claims:
    if request.param is not None:

        def no_locks(*_: Any) -> None:
            raise OSError(request.param, "no locks here")

        monkeypatch.setattr(fcntl, "flock", no_locks)
    return Claims(tmp_path / "run")


def test_each_shard_has_one_command_and_all_of_them_exclude_the_whole(claims: Claims) -> None:
    with claims.shard(0), claims.shard(11):
        assert claims.answered_now() == [0, 11]
        with pytest.raises(RunDirectoryError, match="shard-0"), claims.shard(0):
            pass
        with pytest.raises(RunDirectoryError, match="shards are being answered here"), claims.whole():
            pass
    assert claims.answered_now() == []
    with claims.whole():
        with pytest.raises(RunDirectoryError, match="another command goes on with the whole run"), claims.shard(0):
            pass
        with pytest.raises(RunDirectoryError, match="whole"), claims.whole():
            pass
    with claims.shard(0):  # who was refused has left nothing behind
        pass


def test_the_first_who_comes_says_into_how_many_shards_a_run_is_divided(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.shard(0):
        assert claims.divided_into() is None
        assert [claims.agree(of) for of in (3, 4)] == [3, 3]


def test_a_killed_command_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from profiler.storage.shared_runs.claims import Claims\n"
        "with Claims(pathlib.Path(sys.argv[1])).shard(0): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    with Claims(tmp_path).shard(0):
        pass


def test_a_killed_command_keeps_its_lease_for_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILER_LOCKS", "leases")
    claims = Claims(tmp_path)
    with claims.shard(0):
        lease.take(tmp_path / "fleet/claims", "shard-1")  # and nobody releases it
    with pytest.raises(RunDirectoryError, match="shard-1"), claims.shard(1):
        pass
    monkeypatch.setattr(lease, "LAPSES_AFTER_S", -1.0)
    with claims.shard(1):
        pass


def test_what_goes_wrong_meanwhile_is_not_taken_for_a_claim(claims: Claims) -> None:
    with pytest.raises(BlockingIOError, match="of somebody else"), claims.shard(0):
        raise BlockingIOError(11, "of somebody else")


def test_a_run_that_is_claimed_needs_no_lock_on_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(code: int) -> None:
        def flock(*_: Any) -> None:
            raise OSError(code, "it failed")

        monkeypatch.setattr(fcntl, "flock", flock)

    failing(errno.ENOLCK)
    with locked(tmp_path, claimed=True):
        pass
    with pytest.raises(RunDirectoryError, match="cannot be locked") as caught, locked(tmp_path):
        pass
    assert "--shard 0/1" in str(caught.value.hint)
    failing(errno.EIO)
    with pytest.raises(RunDirectoryError, match="cannot be locked"), locked(tmp_path, claimed=True):
        pass
