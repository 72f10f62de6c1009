from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from profiler.cli import main, watch
from profiler.cli.watch import Followed
from profiler.engine.progress import Snapshot
from profiler.storage import status_file
from tests.profiler.engine.snapshots import snapshot
from tests.profiler.results.runs import finished
from tests.profiler.storage import directories

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT = snapshot(total=8, done=2)


def slow_manifest(folder: Path, *, dialogues: int = 400) -> Path:
    (folder / "d.jsonl").write_text("".join(f'{{"dialogue_id": "d{n}", "user": "q"}}\n' for n in range(dialogues)))
    path = folder / "m.yaml"
    path.write_text(
        "{experiment_id: slow, model: claude-haiku-4-5, max_tokens: 9, dataset_path: d.jsonl, concurrency: 20,"
        " mock: {latency_s: 0.4}}"
    )
    return path


def started(*words: object) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    return subprocess.Popen(
        [sys.executable, "-m", "profiler", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.02)


def test_a_run_is_followed_from_another_process_to_its_end(tmp_path: Path) -> None:
    run = started("run", "--config", slow_manifest(tmp_path), "--output-dir", tmp_path / "runs", "--quiet")
    folder = tmp_path / "runs" / "slow"
    wait_for(folder / "status.json")
    told = status_file.read(folder, Snapshot)
    watching = started("watch", folder)
    _, run_err = run.communicate(timeout=120)
    out, err = watching.communicate(timeout=120)

    assert told is not None
    assert (told.experiment_id, told.mode, told.total) == ("slow", "mock", 400)
    assert run.returncode == 0, run_err
    assert (watching.returncode, out) == (0, f"{folder}: complete\n")
    assert "see it with: profiler summarize" in err
    assert sorted(path.name for path in folder.iterdir()) == [
        *("requests.jsonl", "responses.jsonl", "scores.jsonl", "summary.json"),
    ]


def test_ctrl_c_ends_the_watching_and_says_how_far_it_is(tmp_path: Path) -> None:
    run = started(
        "run", "--config", slow_manifest(tmp_path, dialogues=20_000), "--output-dir", tmp_path / "runs", "--quiet"
    )
    folder = tmp_path / "runs" / "slow"
    wait_for(folder / "status.json")
    watching = started("watch", folder)
    # It has begun to follow when it prints its first line of progress.
    assert watching.stderr is not None
    assert watching.stderr.readline().startswith("slow [MOCK]")
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=60)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)

    assert watching.returncode == 0, err
    assert "of 20000 dialogues are kept" in out.replace(",", "")
    assert not (folder / "status.json").exists()


def test_a_complete_run_needs_no_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(tmp_path)
    assert main.main(["watch", str(run.folder)]) == 0
    assert capsys.readouterr().out == f"{run.folder}: complete\n"


def test_a_run_on_which_nobody_works_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STALE_S", 0.1)
    directories.run(tmp_path, asked=range(4), answered=[0, 3])
    assert main.main(["watch", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "nobody works on this run: 2 of 8 dialogues are kept" in said
    assert "the command that began it goes on with it" in said


def test_a_run_that_falls_silent_is_said_to_be_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STALE_S", 0.05)
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.01)
    directories.run(tmp_path, asked=range(4), answered=[0, 3])
    status_file.write(tmp_path, SNAPSHOT)
    look, looks = Followed.refresh, itertools.count(1)

    def complete_at_last(followed: Followed) -> None:
        if next(looks) == 20:  # after four times as long as a run may be silent
            (tmp_path / "summary.json").write_text("{}")
        look(followed)

    monkeypatch.setattr(Followed, "refresh", complete_at_last)

    assert main.main(["watch", str(tmp_path)]) == 0

    assert capsys.readouterr().err.count("seconds: unfinished, 2 of 8 dialogues are kept; waiting for more") == 1


def test_how_old_a_status_is_does_not_depend_on_another_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    followed = Followed(tmp_path)
    followed.refresh()
    assert not followed.heard_of

    status_file.write(tmp_path, SNAPSHOT)
    os.utime(tmp_path / "status.json", (0, 0))
    clock[0] += 20
    followed.refresh()
    assert followed.look() == SNAPSHOT
    assert followed.silent_s == 0
    clock[0] += 7
    followed.refresh()
    assert followed.silent_s == 7


@pytest.mark.parametrize("content", ["", "{", json.dumps({"version": 2}), "[1]"])
def test_a_status_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert status_file.read(tmp_path, Snapshot) is None


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    status_file.write(tmp_path / "gone", SNAPSHOT)
    status_file.remove(tmp_path / "gone")
