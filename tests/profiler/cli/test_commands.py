"""The commands that make and look at things around a run, and the panel that shows one."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from profiler.cli.progress import drawn_on
from profiler.manifest.schema import manifest_schema
from tests.profiler.cli.shell import Shell


def test_the_schema_is_printed(shell: Shell) -> None:
    said = shell("schema")
    assert (said.code, said.err) == (0, "")
    assert said.json == json.loads(json.dumps(manifest_schema()))


@pytest.mark.parametrize(("folder", "way"), [(".", "now: profiler run"), ("there", "now: cd there && profiler run")])
def test_init_says_how_to_go_on_from_here(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert way in shell("init", folder).err


def test_init_writes_a_sample_that_runs_as_it_is(shell: Shell, tmp_path: Path) -> None:
    said = shell("init", tmp_path / "my project")
    assert said.code == 0
    assert all(Path(line).is_file() for line in said.out.splitlines())
    assert f"cd '{tmp_path}/my project' && profiler run" in said.err
    done = shell.run(tmp_path / "my project" / "configs" / "sample_experiment.yaml", "--json")
    assert done.json["experiments"][0]["summary"]["geometric_mean"] == 0.7698
    assert shell("init", tmp_path / "my project").code == 2


def test_the_doctor_tells_the_state_of_the_machine(shell: Shell, tmp_path: Path) -> None:
    said = shell("doctor", "--output-dir", tmp_path)
    assert said.code == 0
    assert "FAIL" not in said.out
    checks = shell("doctor", "--output-dir", tmp_path, "--json").json["checks"]
    assert [set(check) for check in checks] == [{"name", "ok", "found"}] * len(checks)
    assert len(checks) == len(said.out.splitlines())


def test_a_machine_that_is_not_fit_is_exit_code_2(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.cli.doctor.LEAST_FREE_BYTES", 1 << 80)
    said = shell("doctor", "--output-dir", tmp_path)
    assert said.code == 2
    assert "FAIL  disk" in said.out


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("term", "encoding", "drawn"),
    [("xterm", "utf-8", "panel_on"), ("dumb", "utf-8", "lines_to"), ("xterm", "ascii", "lines_to")],
)
def test_the_panel_is_drawn_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str, drawn: str
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr(terminal, "encoding", encoding, raising=False)
    monkeypatch.setenv("TERM", term)
    assert drawn_on(sys.stderr).__qualname__.startswith(drawn)


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert drawn_on(sys.stderr).__qualname__.startswith("lines_to")
