from __future__ import annotations

import itertools
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


def test_everything_a_level_claims_to_stop_is_stopped(level: Level) -> None:
    found = sandbox.examine(level)

    assert [probe for probe in found if probe.claimed and not probe.stopped] == []
    assert {probe.name for probe in found if probe.claimed} == CLAIMS[level]


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
    home = tmp_path_factory.mktemp("home")
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    os.chown(home, ordinary.NOBODY, ordinary.NOBODY)
    command = [sys.executable, "-m", ordinary.__name__, str(home), "-c", AS_ORDINARY_USER]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.stderr == ""
    assert done.stdout == "namespaces\nprocess []\nkernel []\nnamespaces []\n"


@pytest.mark.parametrize("level", Level)
def test_a_level_has_one_name_for_people(level: Level) -> None:
    assert Level.parse(level.label) is level


def test_an_unknown_name_of_a_level_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected one of process, kernel, namespaces, container, found 'docker'"):
        Level.parse("docker")
