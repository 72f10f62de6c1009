"""The command line as a program sees it: words, exit codes, and which stream says what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from profiler.cli import commands, main
from profiler.core.errors import ProviderFailed

if TYPE_CHECKING:
    from argparse import Namespace

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = str(ROOT / "configs" / "sample_experiment.yaml")


def profiler(*words: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-m", "profiler", *words],
        cwd=ROOT,
        env=kept | environ,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def usage_error(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main.main(list(words))
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (["rum"], "'run'"),
        (["sumarize", "--log-dir", "x"], "'summarize'"),
        (["run", "--confg", "x"], "'--config' where it says '--confg'"),
        (["run", "--config", "x", "--qiet"], "'--quiet'"),
        (["run", "--config", "x", "--mode", "mok"], "'mock'"),
        (["run", "--config", "x", "--mode=lve"], "'live'"),
        (["run", "--config", "x", "--fsync", "allways"], "'always'"),
        (["validate", "--conf=x"], "'--config' where it says '--conf'"),
        (["run", "--config", "x", "--client", "stram"], "'stream'"),
        (["run", "--config", "x", "--fsync", "off", "--clent", "sdk"], "'--client'"),
        (["run", "--config", "x", "--mode", "Live"], "'live'"),
    ],
)
def test_a_word_that_is_not_known_is_guessed(capsys: pytest.CaptureFixture[str], words: list[str], guess: str) -> None:
    assert f"did you mean {guess}?" in usage_error(capsys, *words)


@pytest.mark.parametrize("words", [("--fsync", "moc"), ("--client", "lives"), ("--mode", "strem")])
def test_a_choice_is_guessed_among_those_of_its_option(
    capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    assert "did you mean" not in usage_error(capsys, "run", "--config", "x", *words)


@pytest.mark.parametrize(
    ("command", "option"), [("run", "--config"), ("validate", "--config"), ("summarize", "--log-dir")]
)
def test_a_file_without_its_option_is_guessed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, option: str
) -> None:
    assert f"did you mean '{option} {tmp_path}'?" in usage_error(capsys, command, str(tmp_path))
    assert "did you mean" not in usage_error(capsys, command, str(tmp_path / "nowhere"))


def test_the_value_of_another_option_is_not_taken_for_the_file_that_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "did you mean" not in usage_error(capsys, "run", "--output-dir", str(tmp_path))
    assert f"did you mean '--config {tmp_path}'?" in usage_error(capsys, "run", "--quiet", str(tmp_path))


@pytest.mark.parametrize(
    "words", [[], ["run"], ["run", "--config"], ["summarize"], ["run", "--config", "x", "--zzzzzz"]]
)
def test_what_is_missing_or_far_off_is_told_without_a_guess(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    said = usage_error(capsys, *words)
    assert "did you mean" not in said
    assert "--help'" in said


def test_without_a_command_all_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(capsys)
    assert all(f"\n    {name} " in said for name in (*main.HOMES, "summarize", "validate", "init"))
    assert said.endswith("error: name a command\nTry 'profiler COMMAND --help'.\n")


def test_a_value_out_of_range_is_told_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(capsys, "mock-server", "--port", "80000")
    assert "found '80000', expected a port from 0 to 65535" in said
    assert "did you mean" not in said


@pytest.mark.parametrize("number", ["0", "-3", "1.5", "many", ""])
@pytest.mark.parametrize("flag", ["--limit", "--concurrency"])
def test_a_count_is_a_whole_number_of_at_least_one(capsys: pytest.CaptureFixture[str], flag: str, number: str) -> None:
    said = usage_error(capsys, "run", "--config", "x", f"{flag}={number}")
    assert f"argument {flag}: found {number!r}, expected a whole number of at least 1" in said


def test_the_flag_allows_as_many_calls_at_once_as_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(capsys, "run", "--config", "x", "--concurrency=100001")
    assert "argument --concurrency: found '100001', expected at most 100,000" in said


def test_a_word_is_never_taken_for_a_longer_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized" in usage_error(capsys, "run", "--config", "x", "--quie")


def test_resume_and_fresh_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with" in usage_error(capsys, "run", "--config", "x", "--resume", "--fresh")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["summarize", "--help"]])
def test_help_and_version_are_results(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert out
    assert err == ""


def test_every_command_that_is_offered_is_there() -> None:
    (action,) = (action for action in main.build_parser()._actions if action.choices)
    assert action.choices is not None
    homes = {command: main.HOMES.get(command, "commands") for command in action.choices}
    for command, home in homes.items():
        assert callable(import_module(f"profiler.cli.{home}").COMMANDS[command])
    assert set(commands.COMMANDS) <= set(action.choices)


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command(_: Namespace) -> int:
        raise error

    monkeypatch.setitem(commands.COMMANDS, "schema", command)


def test_a_bug_is_a_traceback_with_the_way_to_resume(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "manifest_schema", None)  # so that the exception is raised in a module of ours
    assert main.main(["schema"]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "TypeError: 'NoneType' object is not callable" in err
    assert "This is a bug, not your doing" in err
    assert err.endswith("Everything answered is kept; to resume: profiler schema\n")


def test_an_exception_in_code_of_the_user_is_theirs_and_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, ZeroDivisionError("oops"))  # raised here, in a file that is not ours
    assert main.main(["schema"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("error: code of yours failed: ZeroDivisionError: oops (test_main.py:")
    assert err.count("File ") == 1
    assert "bug" not in err


def test_a_file_that_the_system_refuses_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr("profiler.core.own_code._own_frames", lambda _: [])  # this file is not the user's
    assert main.main(["summarize", "--log-dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path}: Permission denied\nhint: ")
    assert "Traceback" not in err


def test_a_bug_is_shown_without_the_groups_it_passed_through(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = ValueError("in the middle")
    bug.__cause__ = ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("in the middle")])])
    monkeypatch.setattr("profiler.core.own_code._own_frames", lambda _: [])
    broken(monkeypatch, bug)
    main.main(["schema"])
    err = capsys.readouterr().err
    assert err.count("in the middle") == 1 + err.count('ValueError("in the middle")')
    assert "ExceptionGroup" not in err.replace("ExceptionGroup(", "")


def test_an_interruption_before_a_run_begins_has_its_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, KeyboardInterrupt())
    assert main.main(["schema"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_expected_failure_is_a_message_and_its_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, ProviderFailed("no", hint="try later"))
    assert main.main(["schema"]) == 3
    assert capsys.readouterr() == ("", "error: no\nhint: try later\n")


# --- as a program of its own --------------------------------------------------------------------------------------


def test_the_module_is_the_program_and_its_code_is_the_exit_code(tmp_path: Path) -> None:
    done = profiler("summarize", "--log-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"found no such folder" in done.stderr


def test_a_terminal_without_utf_8_gets_the_same_numbers(tmp_path: Path) -> None:
    words = ("run", "--config", SAMPLE, "--output-dir", str(tmp_path), "--mode", "mock")
    done = profiler(*words, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"MODE: MOCK ? 1 experiment" in done.stderr
    shown = profiler("summarize", "--log-dir", str(tmp_path / "demo_run"), PYTHONIOENCODING="ascii", LC_ALL="C")
    assert shown.returncode == 0
    assert b"0.8889" in shown.stdout
    assert shown.stdout.isascii()


def test_no_colour_reaches_a_file(tmp_path: Path) -> None:
    words = ("run", "--config", SAMPLE, "--output-dir", str(tmp_path), "--mode", "mock")
    done = profiler(*words, NO_COLOR="1", TERM="xterm-256color")
    assert b"\x1b" not in done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_bug() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "from profiler.__main__ import main; import sys; sys.stdin.read(); main()", "schema"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.close()  # before a word is written
    program.stdout = None
    _, err = program.communicate(b"go")
    assert (program.returncode, err) == (141, b"")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_answered_with_the_command_to_resume(tmp_path: Path, signum: signal.Signals, code: int) -> None:
    client = tmp_path / "own_signal_client.py"
    client.write_text(
        "import os\n"
        "from profiler.provider.mock import MockClient\n"
        "class Client(MockClient):\n"
        "    def __init__(self, experiment): super().__init__(experiment.mock)\n"
        "    async def complete(self, request):\n"
        f"        if request.index == 1: os.kill(os.getpid(), {int(signum)})\n"
        "        return await super().complete(request)\n"
    )
    data = "".join(f'{{"dialogue_id": "d{index}", "user": "q"}}\n' for index in range(50))
    (tmp_path / "d.jsonl").write_text(data)
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "experiment_id: e\nmodel: m\nmax_tokens: 9\ndataset_path: d.jsonl\nclient: own_signal_client:Client\n"
        "concurrency: 1\nmock: {latency_s: 0.01}\n"
    )
    words = ["run", "--config", str(manifest), "--output-dir", str(tmp_path / "a b"), "--mode", "mock", "--fresh"]
    done = profiler(*words)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert f"stopped by {signum.name}; everything answered is kept" in said
    assert f"resume with: profiler run --config {manifest} --output-dir '{tmp_path}/a b' --mode mock\n" in said
    assert "Traceback" not in said
