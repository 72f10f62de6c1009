"""Runs one command in a box and returns how it ended. By then everything that it started is dead."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from task_kit.sandbox import container, copying, interpreter, plan, stranger
from task_kit.sandbox.launcher import shared_launcher
from task_kit.sandbox.level import Level
from task_kit.sandbox.spec import Outcome, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from task_kit.sandbox.launcher import Asked
    from task_kit.sandbox.plan import Plan, Report
    from task_kit.sandbox.spec import Reason, Spec

SPARE_S = 30.0
IN_FLIGHT: set[Asked] = set()


def boxed(spec: Spec, level: Level) -> Outcome:
    """Run at exactly this level, whether or not its probes were tried."""
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"a box needs Linux, found {sys.platform!r}", hint="run it in a Linux container")
    if level is Level.CONTAINER:
        return in_a_container(spec)
    with scratch_folder(level) as scratch:
        made = make_plan(spec, level=level, scratch=scratch)
        hand_over(made)
        return outcome(supervised(made, wall_s=spec.limits.wall_s), level)


def in_a_container(spec: Spec) -> Outcome:
    """The container engine's client is watched like a box, but has the caller's own rights and environment."""
    name = f"box-{secrets.token_hex(8)}"
    made = make_plan(spec, level=Level.CONTAINER, scratch=None)
    mounts = container.mounts(made["readable"], made["writable"])
    words = container.start(spec.argv, spec.env, name=name, mounts=mounts, limits=spec.limits)
    program = shutil.which(words[0])
    if program is None:
        raise SandboxError(f"level container: {words[0]!r} is no command here")
    try:
        report = supervised({**made, "argv": [program, *words[1:]], "env": dict(os.environ)}, wall_s=spec.limits.wall_s)
    finally:
        container.end(name)
    return outcome(report, Level.CONTAINER)


@contextmanager
def scratch_folder(level: Level) -> Iterator[Path | None]:
    """A folder for temporary files where there is no private /tmp. The box's supervisor removes it."""
    if level >= Level.NAMESPACES:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="box-"))
    try:
        yield folder
    finally:
        if folder.exists():
            copying.remove(str(folder))  # the supervisor did not get that far


def make_plan(spec: Spec, *, level: Level, scratch: Path | None) -> Plan:
    dropped = os.geteuid() == 0 and level is not Level.CONTAINER
    uid = stranger.number() if dropped else None
    readable = [os.path.abspath(path) for path in interpreter.with_targets(spec.readable)]
    writable = os.path.abspath(spec.writable) if spec.writable else None
    needed = [
        spec.argv[0],
        *readable,
        *([writable] if writable else []),
        *([str(scratch)] if scratch else []),
        str(spec.cwd),
    ]
    env = dict(spec.env)
    if scratch:
        env.setdefault("TMPDIR", str(scratch))
    return {
        "level": int(level),
        "argv": list(spec.argv),
        "env": env,
        "cwd": str(spec.cwd),
        "readable": readable,
        "masked": interpreter.masked(),
        "writable": writable,
        "room": str(spec.room) if spec.room else None,
        "scratch": str(scratch) if scratch else None,
        "uid": uid,
        "search": uid is not None and (level > Level.PROCESS or not all(map(open_to_others, needed))),
        "limits": cast("plan.LimitValues", asdict(spec.limits)),
    }


def hand_over(box: Plan) -> None:
    """Give writable folders to the user that the box runs as, where they are the host's own."""
    uid = box["uid"]
    if uid is None or box["level"] == plan.NAMESPACES:
        return
    for top in filter(None, (box["writable"], box["scratch"])):
        for folder, _, files in os.walk(top):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(path, uid, uid, follow_symlinks=False)


def open_to_others(path: str) -> bool:
    """Whether a user who is neither the owner nor in the group can get there."""
    try:
        folders = [Path(path).resolve(), *Path(path).resolve().parents]
        return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders if folder.is_dir())
    except OSError:
        return False


def supervised(box: Plan, *, wall_s: float) -> Report:
    with shared_launcher().ask(box) as asked:
        IN_FLIGHT.add(asked)
        try:
            report = asked.report(timeout_s=wall_s * plan.PATIENCE + SPARE_S)
        finally:
            IN_FLIGHT.discard(asked)
        if asked.abandoned:
            raise SandboxError("the box was given up")
        return report


def give_up() -> None:
    """End all boxes that any thread waits for; the threads get a SandboxError."""
    for asked in list(IN_FLIGHT):
        asked.abandon()


def outcome(report: Report, level: Level) -> Outcome:
    if "error" in report:
        raise SandboxError(f"level {level.label}: {report['error']}")
    status = report["status"]
    return Outcome(
        exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        reason=cast("Reason | None", report["reason"]),
        stdout=report["stdout"],
        stderr=report["stderr"],
        wall_s=report["wall_s"],
        own_s=report["own_s"],
        cpu_s=report["cpu_s"],
        peak_bytes=report["peak_bytes"],
        leftover=report["leftover"],
        level=level,
    )
