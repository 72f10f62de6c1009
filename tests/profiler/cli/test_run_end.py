"""What a run of several experiments says at its end."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from profiler.cli import main
from profiler.cli.run_end import WORST_FIRST
from tests.profiler.cli.shell import Said

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 4


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys = capsys
        self.folder = folder
        self.runs = folder / "runs"
        rows = [{"dialogue_id": f"d{index}", "user": "q", "required_facts": ["q"]} for index in range(COUNT)]
        (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(self, *listed: dict[str, Any], **defaults: Any) -> None:
        usual = {"model": "claude-haiku-4-5", "max_tokens": 64, "dataset_path": "d.jsonl", **defaults}
        (self.folder / "m.yaml").write_text(json.dumps({"defaults": usual, "experiments": listed}))

    def run(self, *words: str) -> Said:
        given = [
            "run",
            "--config",
            str(self.folder / "m.yaml"),
            "--output-dir",
            str(self.runs),
            "--mode",
            "mock",
            *words,
        ]
        code = main.main(given)
        return Said(code, *self.capsys.readouterr())


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    return Shell(capsys, tmp_path)


def three(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"experiment_id": name, "model": f"m-{name}", **changes.get(name, {})} for name in ("first", "second", "third")
    ]


def test_one_table_has_all_of_them_and_scripts_find_their_lines(shell: Shell) -> None:
    shell.write(*three())
    said = shell.run()

    assert said.code == 0
    assert said.out.count("Experiment Metrics (3 experiments)") == 1
    for name in ("first", "second", "third"):
        assert f"Completed experiment {name}\n" in said.out
        assert f"Metrics written to {shell.runs / name / 'summary.json'}\n" in said.out
    assert "3 experiments: 12 dialogues in" in said.err


def test_json_has_all_of_them_in_the_order_of_the_manifest(shell: Shell) -> None:
    shell.write(*three())
    found = shell.run("--json").json

    assert list(found) == ["experiments"]
    assert [each["summary"]["run"]["experiment_id"] for each in found["experiments"]] == ["first", "second", "third"]
    for each in found["experiments"]:
        assert each["summary"] == json.loads(
            (shell.runs / each["summary"]["run"]["experiment_id"] / "summary.json").read_bytes()
        )


FAULTS: dict[str, tuple[str, int]] = {
    "bug": ("raise ZeroDivisionError", 0),  # of a dialogue: it is an error in the log
    "refused": ("raise CallError('authentication', 'no', status=401, fatal=True)", 3),
    "signal": ("import signal; signal.raise_signal(signal.SIGTERM)", 143),
}


def client(shell: Shell, fault: str) -> dict[str, Any]:
    (shell.folder / "own.py").write_text(
        "from profiler import CallError, Reply\n"
        "class Client:\n"
        "    def __init__(self, experiment): pass\n"
        "    async def complete(self, request):\n"
        f"        {fault}\n"
        "        return Reply(completion='q', stop_reason='end_turn', model='m', usage={})\n"
    )
    return {"client": "own:Client"}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_goes_wrong_in_one_is_its_exit_code_and_no_others(shell: Shell, kind: str) -> None:
    fault, code = FAULTS[kind]
    shell.write(*three(second=client(shell, fault)), concurrency=4)
    said = shell.run("--json", "--in-turn")

    assert said.code == code
    complete = [each["summary"]["run"]["experiment_id"] for each in said.json["experiments"]]
    unfinished = {each["experiment_id"]: (each["state"], each["exit_code"]) for each in said.json.get("unfinished", [])}
    match kind:
        case "bug":
            assert complete == ["first", "second", "third"]
        case "refused":
            assert complete == ["first", "third"]
            assert unfinished == {"second": ("stopped", 3)}
            assert "3 experiments: 2 complete, 1 stopped, 0 not begun" in said.err
            assert "error: second: " in said.err
            assert "go on with: profiler run --config" in said.err
        case _:
            assert complete[0] == "first"
            assert unfinished["third"] == ("not begun", 143)


def test_the_exit_code_is_that_of_the_worst(shell: Shell) -> None:
    (shell.runs / "third").mkdir(parents=True)
    (shell.runs / "third" / "requests.jsonl").write_text("somebody's\n")  # exit code 2
    low = {"thresholds": {"refusal_rate": 1.0}}  # exit code 1
    refusing = client(shell, FAULTS["refused"][0])  # exit code 3
    shell.write(*three(first=low, second=refusing))
    assert shell.run().code == 2
    (shell.runs / "third" / "requests.jsonl").unlink()
    assert shell.run().code == 3
    shell.write(*three(first=low))
    assert shell.run("--select", "first", "--select", "third").code == 1
    assert WORST_FIRST == (70, 130, 143, 2, 3, 4, 1, 0)


def test_a_metric_that_fails_is_a_bug_of_that_one_and_the_others_are_measured(shell: Shell) -> None:
    (shell.folder / "mine.py").write_text(
        "import profiler\ndef fails(outcome): raise ZeroDivisionError\nbad = profiler.mean('bad', fails)\n"
    )
    shell.write(*three(second={"metrics": ["mine:bad", "completion_rate"]}))
    said = shell.run("--json")

    assert said.code == 70
    first, second, _ = (each["summary"] for each in said.json["experiments"])
    assert "error" in second["metrics"]["bad"]
    assert second["completion_rate"] == first["completion_rate"] == 1.0


def test_what_is_wrong_before_the_first_call_stops_all(shell: Shell) -> None:
    shell.write(*three(second={"metrics": ["nowhere:metric"]}))
    said = shell.run()

    assert said.code == 2
    assert "1 of 3 experiments cannot run, so none begins" in said.err
    assert not shell.runs.exists()


def test_select_fresh_and_retry_failed_hold_for_each(shell: Shell) -> None:
    failing = {"mock": {"faults": {"invalid_request": 0.9}, "seed": 2}}
    shell.write(*three(second=failing))
    assert shell.run("--select", "s*").code == 0
    assert [path.name for path in shell.runs.iterdir()] == ["second"]
    found = shell.run("--json").json
    assert [each["answered_now"] for each in found["experiments"]] == [COUNT, 0, COUNT]
    failed = found["experiments"][1]["summary"]["counts"]["error"]
    assert failed
    again = shell.run("--json", "--retry-failed").json
    assert [each["answered_now"] for each in again["experiments"]] == [0, failed, 0]
    assert shell.run("--fresh", "--select", "first").code == 0
    assert next(path.name for path in shell.runs.iterdir() if ".old-" in path.name).startswith("first.old-")


def test_many_that_were_not_begun_are_counted_when_they_have_no_room(shell: Shell) -> None:
    first = {"experiment_id": "first", **client(shell, FAULTS["signal"][0])}
    rest = [{"experiment_id": f"e{number:02}", "model": f"m{number}"} for number in range(30)]
    shell.write(first, *rest)
    said = shell.run("--in-turn")

    assert said.code == 143
    assert "not begun: e00, e01" in said.err
    assert "e19 and 10 more" in said.err


def test_an_error_that_stops_many_in_the_same_words_is_told_once(shell: Shell) -> None:
    refused = client(shell, FAULTS["refused"][0])
    shell.write(*[{"experiment_id": f"e{number:02}", "model": f"m{number}", **refused} for number in range(30)])
    said = shell.run("--in-turn")

    assert said.code == 3
    assert said.err.count("error: ") == 1
    assert "error: e00, e01, e02" in said.err
    assert "e19 and 10 more: the provider refuses" in said.err
    assert "30 experiments: 0 complete, 30 stopped, 0 not begun" in said.err


def test_a_manifest_that_asks_more_is_told_the_command_that_keeps_what_is_answered(shell: Shell) -> None:
    rows = [{"dialogue_id": f"d{index}", "user": f"question {index}"} for index in range(COUNT)]
    (shell.folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shell.write(*three())
    shell.run("--limit", "2")
    refused = shell.run()
    assert refused.code == 2
    words = shlex.split(refused.err.partition("hint: begin anew and pay only for what is new: ")[2])
    assert words[-3:] == ["--fresh", "--reuse", str(shell.runs)]
    assert main.main(words[1:]) == 0
    summaries = [json.loads(path.read_text()) for path in shell.runs.glob("*/summary.json") if ".old-" not in str(path)]
    assert [(each["counts"]["total"], each["reused"]["n"]) for each in summaries] == [(COUNT, 2)] * 3
