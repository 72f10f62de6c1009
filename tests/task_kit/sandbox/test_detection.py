from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from task_kit import sandbox
from task_kit.sandbox import Level, SandboxError, Spec, detection, probes
from task_kit.sandbox.probes import CLAIMS, LASTING, Probe

from . import ordinary

ROOT = Path(__file__).resolve().parents[3]
AS_ORDINARY_USER = """
from task_kit.sandbox import Level, detect, examine
print(detect().level.label)
for level in (Level.PROCESS, Level.KERNEL, Level.NAMESPACES):
    print(level.label, [(probe.name, probe.said) for probe in examine(level) if probe.claimed and not probe.stopped])
"""

COVERED = f"""
import sys
from task_kit.sandbox import kernel
from {ordinary.__name__} import main
kernel.unshare(kernel.CLONE_NEWNS)
kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
for where, kind in [line.split()[1:3] for line in open("/proc/self/mounts")]:
    if kind == "proc":  # a second one that is not covered, as of a chroot, would allow a third
        kernel.mount("tmpfs", where + "/bus", kind="tmpfs")
main(*sys.argv[1:])
"""
WITHOUT_PROC = """
from pathlib import Path
from task_kit import sandbox
def run(code):
    argv = (*sandbox.PYTHON, "-c", code)
    limits = sandbox.Limits(memory_bytes=100 << 20)
    return sandbox.run(sandbox.Spec(
        argv=argv, env={}, cwd=Path("/"), readable=sandbox.python_paths(), writable=None, limits=limits
    ))
print(sandbox.detect().level.label)
print(run("import os; print(os.listdir('/proc'))").stdout.decode().strip())
print(run("import os, time; os.fork() or time.sleep(60)").leftover)
print(run("import os, time; [os.fork() for _ in range(3)]; held = b'x' * (40 << 20); time.sleep(60)").reason)
"""


def test_everything_a_level_claims_to_stop_is_stopped(level: Level) -> None:
    found = sandbox.examine(level)

    assert [probe for probe in found if probe.claimed and not probe.stopped] == []
    assert {probe.name for probe in found if probe.claimed} == CLAIMS[level]


@pytest.mark.parametrize("handed_down", [True, False])
def test_a_descriptor_that_was_handed_down_is_seen_and_one_of_a_library_is_none(handed_down: bool) -> None:
    told = json.dumps({"attempts": ["descriptors"]})
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, str(probes.SCRIPT), told],
            pass_fds=[reading] if handed_down else [],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(reading)
        os.close(writing)
    seen = [False, str([reading])] if handed_down else [True, "nothing but the three standard ones is open"]
    assert json.loads(done.stdout)["descriptors"] == seen


def test_a_probe_that_is_not_claimed_can_get_out() -> None:
    """So the attempts are real: what the lowest level leaves open, they reach."""
    found = {probe.name for probe in sandbox.examine(Level.PROCESS) if not probe.stopped}

    assert {"read_secret", "write_beside", "loopback", "abstract_socket", "memory_file", "shared_memory"} <= found


def test_each_level_claims_all_that_the_one_below_claims() -> None:
    levels = sorted(Level)

    assert all(CLAIMS[lower] <= CLAIMS[higher] for lower, higher in itertools.pairwise(levels))


def test_the_strongest_level_that_holds_is_found() -> None:
    found = sandbox.detect()

    assert found.level is max(level for level in Level if not isinstance(detection.TRIED.result(level), str))
    assert LASTING not in {probe.name for probe in found.probes[found.level]}


@pytest.mark.parametrize("failures", [1, detection.TRIES])
def test_a_box_that_could_not_be_asked_is_tried_again(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    asked = []

    def busy(level: Level, *, lasting: bool) -> tuple[Probe, ...]:
        asked.append(lasting)
        if len(asked) <= failures:
            raise SandboxError("the probes did not run: timeout")
        return (Probe(name="read_secret", stopped=True, said=level.label, claimed=True),)

    monkeypatch.setattr(detection, "probe", busy)
    found = detection.attempt(Level.KERNEL)

    assert isinstance(found, str) is (failures == detection.TRIES)
    assert len(asked) == 2


def test_an_escape_is_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def leaky(level: Level, *, lasting: bool) -> tuple[Probe, ...]:
        asked.append(lasting)
        return (Probe(name="read_secret", stopped=False, said=level.label, claimed=True),)

    monkeypatch.setattr(detection, "probe", leaky)

    assert "not stopped: read_secret" in str(detection.attempt(Level.KERNEL))
    assert len(asked) == 1


def test_a_level_that_is_wanted_is_found_alone() -> None:
    found = sandbox.detect(Level.PROCESS)

    assert (found.level, set(found.probes)) == (Level.PROCESS, {Level.PROCESS})


def test_a_level_with_an_open_way_out_does_not_hold() -> None:
    probes_found = (
        Probe(name="read_secret", stopped=False, said="the secret", claimed=True),
        Probe(name="see_name", stopped=False, said="there it is", claimed=False),
    )

    assert detection.missing(Level.KERNEL, probes_found) == "level kernel: not stopped: read_secret (the secret)"
    assert detection.missing(Level.KERNEL, probes_found[1:]) is None


def test_a_level_that_does_not_hold_is_an_error_and_no_step_down(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = detection.Tried()
    tried.results = {Level.KERNEL: "level kernel: not stopped: read_secret"}
    monkeypatch.setattr(detection, "TRIED", tried)
    spec = Spec(argv=("true",), env={}, cwd=Path("/"), readable=(), writable=None)

    with pytest.raises(SandboxError, match="level kernel: not stopped: read_secret"):
        sandbox.run(spec, level=Level.KERNEL)


def test_what_a_stronger_level_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = detection.Tried()
    tried.results = {Level.NAMESPACES: "level namespaces: cannot unshare"}
    monkeypatch.setattr(detection, "TRIED", tried)

    found = sandbox.detect()

    assert found.level is Level.KERNEL
    assert found.why == {Level.NAMESPACES: "level namespaces: cannot unshare"}


def test_what_escaped_is_taken_away() -> None:
    with probes.bait() as laid:
        Path(probes.SHARED_MEMORY, str(laid.told["token"])).touch()
        assert laid.traces["memory_file"]()

    assert not laid.traces["memory_file"]()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_is_as_safe(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = as_ordinary_user("-m", ordinary.__name__, code=AS_ORDINARY_USER, home=tmp_path_factory.mktemp("home"))

    assert done.stderr == ""
    assert done.stdout == "namespaces\nprocess []\nkernel []\nnamespaces []\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_box_is_watched_where_it_cannot_have_a_proc_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As in most containers, where parts of it are covered."""
    done = as_ordinary_user("-c", COVERED, code=WITHOUT_PROC, home=tmp_path_factory.mktemp("home"))

    assert done.stderr == ""
    assert done.stdout == "namespaces\n[]\nTrue\nmemory\n"


def as_ordinary_user(*how: str, code: str, home: Path) -> subprocess.CompletedProcess[str]:
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    os.chown(home, ordinary.NOBODY, ordinary.NOBODY)
    command = [sys.executable, *how, str(home), "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("level", Level)
def test_a_level_has_one_name_for_people(level: Level) -> None:
    assert Level.parse(level.label) is level


def test_an_unknown_name_of_a_level_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected one of process, kernel, namespaces, container, found 'docker'"):
        Level.parse("docker")
