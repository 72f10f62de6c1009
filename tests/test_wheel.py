"""The built wheel is whole: installed on its own, it scaffolds and runs the sample in an empty folder."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("profiler", "task_kit", "grader")


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Its output. Without the key of whoever runs the tests, so that nothing here can ever go live."""
    environment = {name: value for name, value in os.environ.items() if name not in {"ANTHROPIC_API_KEY", "PYTHONPATH"}}
    if path:
        environment["PYTHONPATH"] = str(path)
    ended = subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the pinned backend, with nothing resolved or fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--target", target, wheel, cwd=target)
    return target


def test_it_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {f"{package}/py.typed" for package in PACKAGES} <= packed
    assert packed == source


def test_it_carries_the_licence_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = {
            Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name
        }
    entry_points = configparser.ConfigParser()
    entry_points.read_string(metadata["entry_points.txt"])

    assert dict(entry_points["console_scripts"]) == {
        "grader": "grader.__main__:main",
        "profiler": "profiler.__main__:main",
        "task-kit": "task_kit.__main__:main",
    }
    assert "MIT License" in metadata["LICENSE"]
    assert "Requires-Python: >=3.11" in metadata["METADATA"]


def test_it_runs_the_sample_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    def python(*arguments: str) -> str:
        """PYTHONPATH stands before the checkout, which the environment holds as an editable install."""
        return run(sys.executable, *arguments, cwd=tmp_path, path=installed)

    origin = python("-c", "import profiler; print(profiler.__file__)")
    assert Path(origin.strip()).is_relative_to(installed)

    python("-m", "profiler", "init")
    python("-m", "profiler", "run", "--config", "configs/sample_experiment.yaml")

    summary = json.loads((tmp_path / "runs" / "demo_run" / "summary.json").read_bytes())
    assert (summary["fact_coverage"], summary["refusal_rate"], summary["geometric_mean"]) == (0.8889, 0.3333, 0.7698)


def test_it_lays_out_a_task_as_the_checkout_does(installed: Path, tmp_path: Path) -> None:
    origin = run(sys.executable, "-c", "import task_kit; print(task_kit.__file__)", cwd=tmp_path, path=installed)
    assert Path(origin.strip()).is_relative_to(installed)

    staging = ("-m", "task_kit", "stage", "experiment_profiler", "--json")
    packed = json.loads(run(sys.executable, *staging, "packed", cwd=tmp_path, path=installed))
    checked_out = json.loads(run(sys.executable, *staging, "checked_out", cwd=tmp_path, path=ROOT))

    assert packed["files"] == checked_out["files"]
    assert packed["others"] == []
