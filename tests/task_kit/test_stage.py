from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from task_kit.stage import MANIFEST, StageError, stage
from task_kit.task import TASKS
from tests.task_kit.staging import STARTER, TASK, staged

PROFILER = TASKS["experiment_profiler"]
SHOWN = {
    *("prompt.md", "README.md", MANIFEST),
    *("configs/sample_experiment.yaml", "data/dialogues.json", "data/mock_responses.json"),
    *(f"experiment_profiler/{name}.py" for name in ("__init__", "cli", "config", "runner", "simulation", "storage")),
    *(f"tools/{name}.py" for name in ("__init__", "anthropic_client", "dataset", "logging_utils", "mark", "metrics")),
}


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_model_sees_these_files_and_no_others(tmp_path: Path) -> None:
    assert files(staged(tmp_path / "new")).keys() == SHOWN


def test_the_starter_and_not_the_reference_is_shown(tmp_path: Path) -> None:
    folder = staged(tmp_path)

    assert (folder / "experiment_profiler/runner.py").read_bytes() == (STARTER / "runner.py").read_bytes()
    assert b"reference" not in b"".join(files(folder).values())


def test_the_same_bytes_are_staged_every_time(tmp_path: Path) -> None:
    assert files(staged(tmp_path / "a")) == files(staged(tmp_path / "b"))


def test_the_manifest_holds_the_hash_of_every_other_file_in_order(tmp_path: Path) -> None:
    staged(tmp_path)
    listed = json.loads((tmp_path / MANIFEST).read_bytes())

    assert listed == {
        path: hashlib.sha256(content).hexdigest() for path, content in files(tmp_path).items() if path != MANIFEST
    }
    assert list(listed) == sorted(listed)


def test_every_file_of_the_starter_and_the_tools_is_staged() -> None:
    written = {path.relative_to(STARTER.parent).as_posix() for path in STARTER.rglob("*.py")}
    written |= {path.relative_to(TASK).as_posix() for path in (TASK / "tools").rglob("*.py")}

    assert written <= SHOWN


def test_a_folder_with_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(StageError, match=r"mine\.txt.*nothing was written") as caught:
        stage(PROFILER, tmp_path)

    assert "--force" in str(caught.value.hint)
    assert files(tmp_path) == {"mine.txt": b"mine"}


def test_force_replaces_the_files_of_the_task_and_names_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "prompt.md").write_text("old")

    found = stage(PROFILER, tmp_path, force=True)

    assert found.others == ("mine.txt",)
    assert files(tmp_path) == files(staged(tmp_path / "fresh")) | {"mine.txt": b"mine"}


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "prompt.md").symlink_to(outside)

    stage(PROFILER, folder, force=True)

    assert outside.read_text() == "kept"
    assert not (folder / "prompt.md").is_symlink()


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (folder / "tools").symlink_to(outside, target_is_directory=True)

    with pytest.raises(StageError, match="found a link"):
        stage(PROFILER, folder, force=True)

    assert list(outside.iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["tools"]


def test_a_file_in_the_place_of_the_folder_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")

    with pytest.raises(StageError, match="file: cannot write"):
        stage(PROFILER, tmp_path / "file")
