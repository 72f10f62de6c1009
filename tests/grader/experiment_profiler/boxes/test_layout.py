"""A box holds what it needs and nothing more."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from importlib.util import cache_from_source
from typing import TYPE_CHECKING

import pytest

from grader.experiment_profiler.boxes import plan, stand_in
from grader.experiment_profiler.boxes.box import Kind
from task_kit import sandbox
from tests.grader.building import NAMES, SEED, drawn, laid_out, planned

if TYPE_CHECKING:
    from pathlib import Path

    from grader.experiment_profiler.boxes.box import Box

MINE = {"experiment_profiler/__init__.py": b"", "tools/__init__.py": b"raise SystemExit"}


def made(root: Path, kind: Kind) -> Box:
    return laid_out(planned(NAMES[kind].format(1), root=root), files=MINE)


@pytest.mark.parametrize("kind", Kind)
def test_nothing_of_the_graders_environment_goes_in(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret")

    spec = made(tmp_path, kind).spec(sandbox.Limits())
    told = {"HOME", "LANG", "LOGNAME", "PATH", "PYTHONHASHSEED", "PYTHONPATH", "TMPDIR", "TZ", "USER"}
    assert set(spec.env) - {"ANTHROPIC_API_KEY"} == told
    assert not spec.env.get("ANTHROPIC_API_KEY")
    assert "a-secret" not in str(spec)


def test_the_graders_tools_come_before_those_of_the_submission(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.RUN)

    first, second, *_ = box.spec(sandbox.Limits()).env["PYTHONPATH"].split(os.pathsep)
    assert first == str(box.kit)
    assert second == str(box.submission)
    assert "raise SystemExit" not in (box.kit / "tools" / "__init__.py").read_text(encoding="utf-8")


def test_no_process_compiles_the_tools_again(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.RUN)
    tools = box.kit / "tools"

    sources = {path.stem for path in tools.glob("*.py")} - {"mark"}
    assert {path.name.partition(".")[0] for path in (tools / "__pycache__").iterdir()} == sources
    asked = "import tools.metrics as t, importlib.metadata as m; print(t.__cached__, m.version('anthropic'))"
    told = subprocess.run(
        [sys.executable, "-B", "-c", asked],
        env={"PYTHONPATH": str(box.kit)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told == [cache_from_source(str(tools / "metrics.py")), stand_in.__version__]


def test_what_may_be_read_holds_neither_seed_nor_expected_values(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.API)
    files = [path for part in (box.kit, box.given, box.work) for path in part.rglob("*") if path.is_file()]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    assert len(files) > 10
    assert SEED not in text
    assert not any(word in text for word in ("import profiler", "from grader", "import grader", "reference_submission"))


def test_the_driver_is_told_what_to_do_and_nothing_of_what_is_right(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.API)

    job = json.loads((box.given / box.names["job"]).read_bytes())
    assert {step["does"] for step in job["steps"]} == {"config", "client", "run", "summarize"}
    assert not any("expected" in step for step in job["steps"])


def test_no_file_holds_an_answer_as_it_will_be_given(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.API)
    held = b"".join(path.read_bytes() for path in box.folder.rglob("*") if path.is_file())

    given = [reply.completion for run in box.runs for reply in run.replies.values() if reply is not None]
    assert len(given) > 100
    signatures = [re.findall(r"\[([0-9a-f]{16})\]", completion)[-1] for completion in given if "[" in completion]
    assert not [signature for signature in signatures if signature.encode() in held]


def test_names_and_environment_tell_no_box_from_another(tmp_path: Path) -> None:
    """Nor from anybody's own folder: no word stands in all of them."""
    found = plan.boxes(drawn(), seed=SEED, root=tmp_path)

    assert len({tuple(box.names.values()) for box in found}) == len(found)
    assert len({box.environment["USER"] for box in found}) > 3
    words = [set(re.findall(r"[a-z]{3,}", " ".join(box.names.values()))) for box in found]
    assert not set.intersection(*words)


@pytest.mark.parametrize(("kind", "logs"), [(Kind.API, True), (Kind.RUN, False), (Kind.SUMMARIZE, True)])
def test_only_who_is_asked_about_logs_has_them(tmp_path: Path, kind: Kind, logs: bool) -> None:
    box = made(tmp_path, kind)

    assert bool(box.logs) is logs
    assert all((box.work / box.logs_dir(each) / "requests.jsonl").exists() for each in box.logs)


def test_who_is_only_asked_about_logs_is_given_no_world(tmp_path: Path) -> None:
    assert list(made(tmp_path, Kind.SUMMARIZE).given.iterdir()) == []


def test_what_is_shared_is_read_only(tmp_path: Path) -> None:
    box = made(tmp_path, Kind.RUN)
    shared = [path for part in (box.kit, box.submission, box.given) for path in part.rglob("*.*")]

    files = [path for path in shared if path.is_file()]
    assert files
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in files)
