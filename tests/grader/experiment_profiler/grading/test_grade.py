"""Whole gradings, in real boxes: the reference passes, the starter fails, and nothing stays behind."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from grader.cli.grade_table import render
from grader.experiment_profiler.boxes import plan
from grader.experiment_profiler.grading import boxed
from grader.experiment_profiler.grading.grade import TASK, Asked, Grading, grade, reference
from grader.experiment_profiler.grading.regrade import regrade
from grader.experiment_profiler.judging import checks
from grader.experiment_profiler.judging.verdict import Finding, Result, Status
from grader.experiment_profiler.worlds import foreign_logs
from task_kit import sandbox

if TYPE_CHECKING:
    from grader.experiment_profiler.boxes.box import Box

STARTER = reference().parent / "starter"


@pytest.fixture(scope="module")
def passed() -> Result:
    return grade(reference(), seed="a", worlds=1)


def overlay(folder: Path, files: dict[str, str]) -> Path:
    """The reference with some files of its package replaced."""
    for path in reference().rglob("*.py"):
        target = folder / path.relative_to(reference())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files.get(path.name, path.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def sample_only(folder: Path, **changes: Any) -> Result:
    """Graded in the sample alone, which is enough for what does not depend on the world."""
    return Grading(Asked(seed="a", worlds=0, **changes)).run(folder)


def test_the_reference_passes_every_check_in_every_world(passed: Result) -> None:
    assert passed.status is Status.PASS, passed.checks
    assert (passed.reward, passed.reward_valid, passed.reasons) == (1.0, True, ())
    assert {check.name: check.passed for check in passed.checks} == dict.fromkeys(
        [check.name for check in passed.checks], True
    )
    assert passed.metrics["worlds"]["sample"]["fact_coverage"] == 0.8889
    assert set(passed.metrics["worlds"]) == {"sample", "world-1", "empty", "unanswered", "no-facts"}


def test_a_result_says_how_it_came_about(passed: Result) -> None:
    level = sandbox.detect().level
    assert passed.isolation["level"] == level.label
    counted = "counted" if level is sandbox.Level.NAMESPACES else "not_tried"
    assert passed.isolation["live_requests"] == counted
    assert passed.asked == Asked(seed="a", worlds=1).public()
    assert passed.versions.keys() == {"experiment-profiler", "python"}
    assert passed.timings["boxes"].keys() == {
        *(f"{world} {kind}" for world in ("sample", "world-1") for kind in ("api", "run")),
        *(f"{edge} run" for edge in ("empty", "unanswered", "no-facts")),
        "world-1 live",
        *(f"{kind} summarize" for kind in foreign_logs.KINDS),
    }


def test_the_same_seed_gives_the_same_result_to_the_byte_and_each_box_is_cleared_when_it_has_ended(
    passed: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many boxes are still to come: a slow one does not let the others pile up."""
    left: list[int] = []
    judge = checks.judge

    def counted(box: Box, outcome: sandbox.Outcome, **given: Any) -> list[Finding]:
        left.append(len([path for path in box.folder.parent.iterdir() if path.is_dir()]))
        return judge(box, outcome, **given)

    monkeypatch.setattr("grader.experiment_profiler.judging.checks.judge", counted)

    again = grade(reference(), seed="a", worlds=1, at_once=1)

    assert json.dumps(again.as_dict(timings=False)) == json.dumps(passed.as_dict(timings=False))
    assert len(left) > 4
    assert max(left) == 1


def order_of(seed: str, root: Path) -> list[str]:
    return [box.name for box in plan.boxes(plan.draw(seed, count=2), seed=seed, root=root)]


def test_the_seed_decides_the_order_in_which_worlds_are_tried(tmp_path: Path) -> None:
    assert order_of("a", tmp_path) == order_of("a", tmp_path)
    assert len({tuple(order_of(seed, tmp_path)) for seed in "abcdef"}) > 4
    assert set(order_of("a", tmp_path)) == set(order_of("b", tmp_path))


def test_who_stops_at_the_first_failure_looks_first_where_most_is_seen(tmp_path: Path) -> None:
    drawn = plan.draw("a", count=2)
    first = [box.name for box in plan.boxes(drawn, seed="a", root=tmp_path, telling_first=True)]

    assert set(first[:2]) == {"world-1 api", "world-2 api"}
    assert sorted(first) == sorted(order_of("a", tmp_path))


def test_nothing_is_run_after_the_box_that_decides() -> None:
    ran: list[str] = []
    asked = Asked(seed="a", worlds=1, fail_fast=True)
    result = Grading(asked, at_once=1, watch=lambda box, _: ran.append(box.name)).run(STARTER)

    assert result.status is Status.FAIL
    assert ran == ["world-1 api"]


def test_a_stored_result_is_had_again() -> None:
    """All but what was changed in it is the same."""
    stored = json.loads(json.dumps(sample_only(reference()).as_dict()))

    assert regrade({**stored, "reward": 0.5}).differences == ("reward: 0.5 before, 1.0 now",)


def test_the_starter_fails_and_says_why() -> None:
    result = sample_only(STARTER)

    assert result.status is Status.FAIL
    assert (result.reward, result.reward_valid) == (0.0, True)
    assert {"interface", "exit_status"} <= set(result.reasons)


def test_partial_rewards_tell_a_good_try_from_none(tmp_path: Path) -> None:
    wrong = (reference() / "experiment_profiler" / "runner.py").read_text(encoding="utf-8")
    near = overlay(tmp_path, {"runner.py": wrong.replace("return _tally_of(", "return {} and _tally_of(")})

    good, none = (sample_only(folder, partial=True) for folder in (near, STARTER))
    assert good.reasons == ("summarize_mismatch",)
    assert 0.5 < good.reward < 1.0
    assert none.reward == 0.0


def test_what_never_ends_costs_its_limit_once(tmp_path: Path) -> None:
    hanging = overlay(tmp_path, {"__init__.py": "import time\nwhile True: time.sleep(1)\n"})

    result = sample_only(hanging, timeout_s=0.7)
    assert result.reasons == ("timeout",)
    assert result.timings["seconds"]["total"] < 8
    assert sum(check.made for check in result.checks) == 1


def test_an_exit_at_import_is_no_success(tmp_path: Path) -> None:
    result = sample_only(overlay(tmp_path, {"__init__.py": "import os\nos._exit(0)\n"}))

    assert {"interface", "missing_artifact", "summarize_mismatch"} <= set(result.reasons)


def test_a_submission_that_cannot_be_taken_fails(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)

    result = grade(tmp_path)
    assert (result.status, result.reasons, result.reward_valid) == (Status.FAIL, ("submission",), True)


def test_a_folder_that_took_itself_away_fails(tmp_path: Path) -> None:
    result = grade(tmp_path / "gone")

    assert (result.status, result.reasons, result.reward_valid) == (Status.FAIL, ("submission",), True)


def test_a_folder_below_none_is_an_error_and_no_fail(tmp_path: Path) -> None:
    result = grade(tmp_path / "nowhere" / "submission")

    assert (result.status, result.reason, result.reward_valid) == (Status.ERROR, "machine", False)


def test_less_isolation_than_is_required_is_an_error() -> None:
    if sandbox.detect().level is sandbox.Level.CONTAINER:
        pytest.skip("this machine gives the most")

    result = grade(reference(), require_isolation="container")
    assert (result.status, result.reason) == (Status.ERROR, "machine")
    assert "container" in str(result.error)


def test_less_isolation_can_be_tried_out_and_is_told_loudly() -> None:
    strongest = sandbox.detect().level.label

    result = sample_only(reference(), isolation="process")

    assert result.status is Status.PASS
    assert result.isolation["level"] == "process"
    assert result.isolation["live_requests"] == "not_tried"
    assert result.isolation["lowered_from"] == strongest
    shown = io.StringIO()
    render(result.as_dict(), file=shown)
    assert f"WITH LESS ISOLATION (process) than this machine gives ({strongest})" in shown.getvalue()
    refused = sample_only(reference(), isolation="process", require_isolation="kernel")
    assert (refused.status, refused.reason) == (Status.ERROR, "machine")


def test_what_was_not_reached_for_no_reason_is_an_error_and_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "grader.experiment_profiler.judging.checks.judge", lambda box, outcome, **given: checks.not_run(box)
    )

    result = sample_only(reference())
    assert (result.status, result.reason) == (Status.ERROR, "grader")


def test_a_process_has_cpu_time_and_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[sandbox.Limits] = []
    run = sandbox.run

    def told(spec: sandbox.Spec, *, level: sandbox.Level) -> sandbox.Outcome:
        asked.append(spec.limits)
        return run(spec, level=level)

    monkeypatch.setattr(sandbox, "run", told)

    assert sample_only(reference(), timeout_s=8.0).status is Status.PASS
    assert {(limits.wall_s, limits.cpu_s) for limits in asked} == {(8.0, boxed.CPU_S)}


@pytest.mark.parametrize(("limit", "reason"), [("ALL_CPU_S", "cpu"), ("ALL_WALL_S", "timeout")])
def test_all_processes_together_have_a_budget(monkeypatch: pytest.MonkeyPatch, limit: str, reason: str) -> None:
    monkeypatch.setattr(boxed, limit, 0.01)

    result = sample_only(reference(), partial=True)
    assert (result.status, result.reasons, result.reward) == (Status.FAIL, (reason,), 0.0)
    (check,) = (check for check in result.checks if check.name == "limits")
    assert check.detail is not None
    assert check.detail.startswith("all processes together: ")


def test_it_grades_where_its_process_has_many_files_open(tmp_path: Path) -> None:
    """More than `select` can tell apart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    opened = [os.open(tmp_path, os.O_RDONLY) for _ in range(1100)]
    try:
        assert sample_only(reference()).status is Status.PASS
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_bug_of_the_grader_is_an_error_and_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(box: Box, outcome: sandbox.Outcome, **given: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("grader.experiment_profiler.judging.checks.judge", broken)

    result = sample_only(reference())
    assert (result.status, result.reason, result.reward_valid) == (Status.ERROR, "grader", False)
    assert "ZeroDivisionError" in str(result.error)


def test_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="another"):
        grade(reference(), task="another")


def test_seeds_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grading, "run", lambda self, folder: Result(task=TASK, asked=self.asked.public()))

    assert grade("x").asked["seed"] != grade("x").asked["seed"]


def test_no_folder_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    tmp_path.chmod(0o755)

    sample_only(STARTER)
    assert list(tmp_path.iterdir()) == []


def test_it_grades_without_a_network_or_a_key_and_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")

    assert sample_only(reference()).status is Status.PASS


def test_the_module_is_a_command_too() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "grader.experiment_profiler.grading.grade",
            "--submission",
            str(reference() / "nowhere" / "at-all"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "error"
