from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from profiler.results.listing import rows
from tests.profiler.results.runs import finished
from tests.profiler.storage import directories

if TYPE_CHECKING:
    from pathlib import Path


def test_every_run_is_a_row_whatever_its_state(tmp_path: Path) -> None:
    whole = finished(tmp_path)
    runs = tmp_path / "runs"
    shutil.copytree(whole.folder, runs / "e.old-20260102T030405")
    directories.run(runs / "begun", asked=range(4), answered=[0, 3])
    (runs / "broken").mkdir()
    (runs / "broken" / "summary.json").write_text("{")
    (runs / "nothing").mkdir()

    found = {row.folder: row for row in rows(runs)}

    assert {name: row.state for name, row in found.items()} == {
        "begun": "unfinished",
        "broken": "unreadable",
        "e": "complete",
        "e.old-20260102T030405": "aside",
    }
    assert (found["begun"].kept, found["begun"].dialogues) == (2, directories.COUNT)
    assert (found["e"].kept, found["e"].mode, found["e"].model) == (12, "mock", "claude-haiku-4-5")
    assert found["e"].metrics == whole.summary["metrics"]
    assert found["e"].errors == whole.summary["counts"]["error"]
    assert "summary.json" in (found["broken"].fault or "")


def test_the_folder_may_be_the_run(tmp_path: Path) -> None:
    (row,) = rows(finished(tmp_path).folder)
    assert (row.folder, row.state) == ("e", "complete")
