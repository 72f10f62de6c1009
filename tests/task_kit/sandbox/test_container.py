from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from task_kit import sandbox
from task_kit.sandbox import Level, Limits, SandboxError, container

from .running import SMALL

if TYPE_CHECKING:
    from task_kit.sandbox import Outcome

LIMITS = Limits(memory_bytes=1000, processes=7, cpu_s=1.5, file_bytes=2000, open_files=9)
STAND_IN = """
import os, sys
name, *words = sys.argv[1:]
open(name, "w").write("started")
os.execvp(words[0], words)
"""


def started(*argv: str, out: Path, limits: Limits = SMALL) -> Outcome:
    spec = sandbox.Spec(argv=argv, env={"GIVEN": "1"}, cwd=out, readable=(), writable=out, limits=limits)
    return sandbox.box.boxed(spec, Level.CONTAINER)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for docker: it notes the container's name and starts the program. Another command ends it."""
    script = tmp_path / "engine.py"
    script.write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setenv(container.START, shlex.join([sys.executable, str(script), f"{tmp_path}/{{name}}"]))
    monkeypatch.setenv(container.END, shlex.join(["/bin/rm", f"{tmp_path}/{{name}}"]))
    return tmp_path


def test_the_words_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(container.START, "engine run --name={name} {limits} {mounts} image")
    mounts = container.mounts(["/readable"], "/writable")

    words = container.start(["python", "-c", "x y"], {"A": "1 2"}, name="box", mounts=mounts, limits=LIMITS)

    assert words == [
        *("engine", "run", "--name=box", "--memory=1000", "--pids-limit=7", "--ulimit=cpu=2:3", "--ulimit=fsize=2000"),
        *("--ulimit=nofile=9", "--ulimit=core=0", "--mount=type=bind,source=/readable,target=/readable,readonly"),
        *("--mount=type=bind,source=/writable,target=/writable", "image"),
        *("/usr/bin/env", "-i", "A=1 2", "python", "-c", "x y"),
    ]


def test_it_runs_with_the_environment_that_was_given(engine: Path, out: Path) -> None:
    outcome = started(sys.executable, "-c", "import os; print(os.environ)", out=out)

    assert b"'GIVEN': '1'" in outcome.stdout
    assert b"PATH" not in outcome.stdout
    assert outcome.level is Level.CONTAINER


def test_the_container_is_ended_by_its_name(engine: Path, out: Path) -> None:
    outcome = started("/bin/sleep", "60", out=out, limits=Limits(wall_s=0.5))

    assert outcome.reason == "timeout"
    assert [path.name for path in engine.iterdir() if path.name.startswith("box-")] == []


def test_a_signal_that_an_engine_tells_as_a_shell_does(engine: Path, out: Path) -> None:
    assert started("/bin/sh", "-c", "exit 152", out=out).reason == "cpu"


def test_a_command_that_confines_nothing_does_not_hold(engine: Path) -> None:
    found = sandbox.detection.attempt(Level.CONTAINER)

    assert isinstance(found, str)
    assert "not stopped" in found
    assert "read_secret" in found


def test_nobody_said_how(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.delenv(container.START, raising=False)

    assert Level.CONTAINER not in sandbox.detection.ladder()
    with pytest.raises(SandboxError, match="say in TASK_KIT_CONTAINER how to start one"):
        started("true", out=out)


def test_a_command_that_is_not_there(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setenv(container.START, "no-such-engine run")

    with pytest.raises(SandboxError, match="'no-such-engine' is no command here"):
        started("true", out=out)
