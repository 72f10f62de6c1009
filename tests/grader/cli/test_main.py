"""The commands: what is printed, where to, and with which exit code."""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader.cli import grade as grade_command
from grader.cli import grade_table, main
from grader.experiment_profiler.grading import many
from grader.experiment_profiler.grading.grade import Grading, grade, reference
from grader.experiment_profiler.judging.reasons import REASONS
from grader.experiment_profiler.judging.verdict import Finding, Result, Status, checks_of
from grader.workers.calls import Signalled

FAILED = (Finding(check="limits", where="w"), Finding(check="order", where="w run", reason="order", said="x before y"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of a stand-in that fails whatever is not the reference, in no time."""
    seen: list[Any] = []

    def run(self: Grading, folder: Path) -> Result:
        seen.append((self.asked, folder))
        passed = folder == reference()
        return Result(
            task="t",
            status=Status.PASS if passed else Status.FAIL,
            reasons=() if passed else ("order",),
            error=None,
            checks=checks_of(list(FAILED)),
            asked=self.asked.public(),
            timings={"seconds": {"total": 1.0}},
        )

    monkeypatch.setattr(Grading, "run", run)
    return seen


def test_the_reference_passes_with_json_on_stdout(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--use-reference"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "pass"
    assert asked[0][1] == reference()


def test_options_reach_the_grading(asked: list[Any], tmp_path: Path) -> None:
    words = ["--seed", "s", "--worlds", "5", "--timeout", "2.5", "--require-isolation", "kernel", "--partial"]
    words += ["--isolation", "namespaces"]

    assert main.main(["grade", "--submission", str(tmp_path), *words]) == 1
    assert asked[0][0].public() == {
        "seed": "s",
        "worlds": 5,
        "timeout_s": 2.5,
        "isolation": "namespaces",
        "require_isolation": "kernel",
        "partial": True,
        "fail_fast": False,
    }


def test_without_a_seed_one_is_drawn(asked: list[Any]) -> None:
    main.main(["--use-reference"])
    main.main(["--use-reference"])

    assert len({grading.seed for grading, _ in asked} - {""}) == 2


@pytest.mark.usefixtures("asked")
def test_a_person_sees_a_line_a_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main.main(["--submission", str(tmp_path), "--no-json", "--seed", "s"])

    shown = capsys.readouterr().out
    assert "✔ limits" in shown
    assert f"order: {REASONS['order'].sentence}" in shown
    assert "w run: x before y" in shown
    assert "FAIL (order)" in shown


@pytest.mark.usefixtures("asked")
def test_timings_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["--use-reference", "--no-timings"])

    assert "timings" not in json.loads(capsys.readouterr().out)


def test_the_kept_result_is_an_error_until_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Grading, folder: Path) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr(Grading, "run", killed)

    assert main.main(["--use-reference", "--output", str(tmp_path / "r.json")]) == 130
    assert json.loads((tmp_path / "r.json").read_bytes())["status"] == "error"


@pytest.mark.usefixtures("asked")
def test_the_kept_result_is_the_one_that_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["--use-reference", "--output", str(tmp_path / "r.json")])

    assert (tmp_path / "r.json").read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "one of the arguments"),
        (["--use-reference", "--submission", "x"], "not allowed with"),
        (["--use-reference", "--worlds", "0"], "whole number"),
        (["--use-reference", "--timeout", "nan"], "seconds"),
        (["--use-reference", "--require-isolation", "much"], "invalid choice"),
        (["grad"], "did you mean 'grade'"),
        (["--use-referenc"], "did you mean '--use-reference'"),
    ],
    ids=["nothing", "both", "worlds", "timeout", "isolation", "command", "option"],
)
def test_wrong_usage_is_explained(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main.main(words)

    assert exited.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--submissions", "nowhere-*"], ["--submissions", "*", "--output", "o"]])
def test_many_need_folders_and_a_file(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert main.main(words) == 2


def test_many_are_graded_in_order_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ba":
        (tmp_path / "in" / name).mkdir(parents=True)
    words = ["--submissions", str(tmp_path / "in" / "*"), "--output", str(tmp_path / "out"), "--seed", "s"]

    assert main.main([*words, "--worlds", "1", "--jobs", "2", "--fail-fast"]) == 1
    assert json.loads(capsys.readouterr().out) == {"pass": 0, "fail": 2, "error": 0}
    paths = [json.loads(line)["submission"]["path"] for line in (tmp_path / "out").read_text().splitlines()]
    assert paths == [str(tmp_path / "in" / name) for name in "ab"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("place", ["nowhere/r.json", "folder"])
def test_where_nothing_can_be_written_it_is_told(
    place: str, many: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    what = ["--submissions", str(tmp_path / "*")] if many else ["--use-reference"]

    assert main.main([*what, "--output", str(tmp_path / place)]) == 2
    assert f"{tmp_path / place}: cannot be written:" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_who_interrupts_many_is_told_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Signalled(signal.SIGTERM)

    monkeypatch.setattr(many, "call_all", interrupted)
    (tmp_path / "folder").mkdir()

    assert main.main(["--submissions", str(tmp_path / "*"), "--output", str(tmp_path / "r.jsonl")]) == 143
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--use-reference", "--jobs", "2"], "--jobs is for many"),
        (["--use-reference", "--on", "ray"], "--on is for many"),
        (["--submissions", "*", "--output", "o", "--on", "ray"], "not how many; add --jobs N"),
    ],
)
def test_what_is_for_many_is_refused_with_one(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 2
    assert said in capsys.readouterr().err


def test_lines_are_counted_from_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.jsonl").write_text('{"asked": {}}\n', encoding="utf-8")

    assert main.main(["regrade", str(tmp_path / "r.jsonl"), "--line", "0"]) == 2
    assert "found no line 0" in capsys.readouterr().err


def test_a_stored_result_is_graded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    stored = tmp_path / "r.json"
    main.main(["--submission", str(tmp_path / "empty"), "--worlds", "1", "--fail-fast", "--output", str(stored)])
    capsys.readouterr()

    assert main.main(["regrade", str(stored)]) == 0
    assert capsys.readouterr().out == "the same: fail\n"


def test_a_result_that_is_not_had_again_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    result = {**grade(tmp_path, seed="s").as_dict(), "reasons": ["order"]}
    (tmp_path / "r.json").write_text(json.dumps(result), encoding="utf-8")

    assert main.main(["regrade", str(tmp_path / "r.json")]) == 1
    assert capsys.readouterr().out == "reasons: ['order'] before, ['submission'] now\ndifferent: fail\n"


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"asked": {}}', '{"asked": {"seeds": 1}}'])
def test_what_is_no_stored_result_is_refused(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "r.json").write_text(content, encoding="utf-8")

    assert main.main(["regrade", str(tmp_path / "r.json")]) == 2
    assert "error:" in capsys.readouterr().err


def test_what_a_process_said_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    class Ended:
        reason, signal, exit_code, stdout, stderr = None, None, 3, b"a\x1b[2Jb\n", b"\xff\xe2\x80\xae"

    class Ran:
        name = "w run"

    grade_command._tell(Ran(), Ended())  # type: ignore[arg-type]
    assert capsys.readouterr().err == "--- w run: exit 3\na?[2Jb\n\N{REPLACEMENT CHARACTER}?\n"


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    def shown(file: io.StringIO) -> str:
        grade_table.render(
            Result(task="t", checks=checks_of(list(FAILED)), asked={"worlds": 1, "seed": "s"}).as_dict(), file=file
        )
        return file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m✔" in shown(Terminal())
    assert "\x1b" not in shown(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(Terminal())


def test_a_terminal_without_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")

    grade_table.render(
        Result(task="t", checks=checks_of(list(FAILED)), asked={"worlds": 1, "seed": "ö"}).as_dict(), file=file
    )
    file.flush()
    assert raw.getvalue().startswith(b"ok limits")


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_names_a_function_that_adds_it(command: str) -> None:
    module, _, name = main.COMMANDS[command][0].partition(":")

    assert callable(getattr(importlib.import_module(module), name))


def test_help_loads_no_command() -> None:
    code = (
        "import sys; from grader.cli import main as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.startswith(('grader', 'task_kit', 'yaml', 'msgspec'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "['grader', 'grader.cli', 'grader.cli.main']"


def test_nothing_is_imported_from_the_folder_that_one_is_in(tmp_path: Path) -> None:
    """Submissions may lie there, and one may be called like a module."""
    (tmp_path / "argparse").mkdir()
    (tmp_path / "argparse" / "__init__.py").write_text("raise SystemExit('it ran outside of a box')")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}

    done = subprocess.run(
        [sys.executable, "-m", "grader", "--version"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.split()[0]) == (0, "experiment-profiler"), done.stderr
