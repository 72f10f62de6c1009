from __future__ import annotations

import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from profiler.cli import doctor
from profiler.cli.doctor import Check, examine

KEY = "a-key-that-nobody-may-see"


def checks(folder: Path, **environ: str) -> dict[str, Check]:
    return {check.name: check for check in examine(folder, environ=environ)}


def test_a_machine_that_runs_the_tests_is_fit(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert [check.name for check in found.values() if not check.ok] == []
    assert found["msgspec"].found == metadata.version("msgspec")
    assert sys.executable in found["python"].found


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({}, "mock"),
        ({"ANTHROPIC_API_KEY": ""}, "mock"),
        ({"ANTHROPIC_API_KEY": KEY}, "live"),
        ({"ANTHROPIC_API_KEY": KEY, "PROFILER_MODE": "mock"}, "mock"),
        ({"PROFILER_MODE": "live"}, "live"),
    ],
)
def test_the_mode_that_auto_means_is_told_and_the_key_is_not(
    tmp_path: Path, environ: dict[str, str], mode: str
) -> None:
    found = checks(tmp_path, **environ)
    assert found["mode"].found.startswith(f"auto means {mode}")
    assert KEY not in repr(found)


def test_a_mode_that_is_none_is_told(tmp_path: Path) -> None:
    check = checks(tmp_path, PROFILER_MODE="alive")["mode"]
    assert (check.ok, check.found) == (False, "PROFILER_MODE: found 'alive', expected one of auto, mock, live")


def test_an_address_of_ones_own_and_a_proxy_are_told(tmp_path: Path) -> None:
    found = checks(tmp_path, ANTHROPIC_BASE_URL="http://127.0.0.1:1", https_proxy="http://secret@proxy")
    assert found["base url"].found == "http://127.0.0.1:1"
    assert found["proxy"].found == "HTTPS_PROXY"
    assert checks(tmp_path)["proxy"].found == "none"


def test_a_package_that_is_missing_fails_unless_it_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("no-such-package",))
    monkeypatch.setattr(doctor, "OPTIONAL", ("no-such-extra",))
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (9, 0))
    found = checks(tmp_path)
    assert (found["no-such-package"].ok, found["no-such-package"].found) == (False, "not installed")
    assert (found["no-such-extra"].ok, found["no-such-extra"].found) == (True, "not installed (optional)")
    assert not found["python"].ok


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_it_will_stand_in(tmp_path: Path) -> None:
    check = checks(tmp_path / "not" / "yet")["disk"]
    assert check.ok
    assert check.found.startswith(f"{tmp_path}: writable")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_one_that_takes_no_file_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 80)
    assert not checks(tmp_path)["disk"].ok

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    check = checks(tmp_path)["disk"]
    assert (check.ok, check.found) == (False, f"{tmp_path}: cannot write or lock: Read-only file system")


def test_a_password_in_an_address_is_not_shown_and_an_address_that_is_none_fails(tmp_path: Path) -> None:
    assert checks(tmp_path, ANTHROPIC_BASE_URL="https://me:hush@host/deep")["base url"].found == "https://host/deep"
    wrong = checks(tmp_path, ANTHROPIC_BASE_URL="127.0.0.1:8089")["base url"]
    assert not wrong.ok
    assert "expected an address such as" in wrong.found


def test_every_package_that_the_project_needs_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())["project"]
    assert sorted(doctor.NEEDED) == sorted(Requirement(each).name for each in project["dependencies"])
