"""`profiler init`: writes the sample manifest, its schema, dataset and mock answers into a folder.

It never overwrites a file.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from profiler.core import json as codec
from profiler.core.errors import StorageError, UsageError
from profiler.manifest.schema import manifest_schema

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE_FILES = ("configs/sample_experiment.yaml", "data/dialogues.json", "data/mock_responses.json")
SCHEMA_FILE = "configs/manifest.schema.json"


def scaffold(folder: Path) -> list[Path]:
    contents = {folder / name: content for name, content in _contents().items()}
    _refuse_existing(list(contents))
    for path, content in contents.items():
        _write_new(path, content)
    return list(contents)


def _contents() -> dict[str, bytes]:
    sample = resources.files("profiler.cli") / "sample"
    files = {name: sample.joinpath(*name.split("/")).read_bytes() for name in SAMPLE_FILES}
    return {**files, SCHEMA_FILE: codec.dump_pretty(manifest_schema())}


def _refuse_existing(paths: list[Path]) -> None:
    existing = [str(path) for path in paths if path.is_symlink() or path.exists()]
    if existing:
        raise UsageError(
            f"found {', '.join(existing)}, expected none of the files that init writes; nothing was written",
            hint="choose an empty folder, or move them away",
        )


def _write_new(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise StorageError(path, error, answers=False) from error
