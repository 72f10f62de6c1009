"""The money of a whole manifest over kills, later commands, and folders that are gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from profiler.core.errors import RunDirectoryError
from profiler.money.prices import PICO
from profiler.storage import whole_money as module
from profiler.storage.whole_money import whole_money

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the folders tell."""
    told: dict[str, int] = {}
    monkeypatch.setattr(module, "money_of", lambda folder: told.get(folder.name))
    return told


def gone(folder: Path, *ids: str) -> int:
    with whole_money(folder, manifest=folder / "m.yaml", capped=True) as money:
        return money.gone(ids)


def test_what_was_run_before_counts_though_it_is_not_selected_now(tmp_path: Path, spent: dict[str, int]) -> None:
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=False) as money:
        money.begin(["a", "b"])  # and then the process is killed
    spent.update(a=5 * PICO, b=7 * PICO)
    assert gone(tmp_path, "b") == 12 * PICO


def test_a_folder_that_was_removed_counts_with_what_was_noted(tmp_path: Path, spent: dict[str, int]) -> None:
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=False) as money:
        money.begin(["a"])
        money.note("a", 3 * PICO)
    assert gone(tmp_path, "a") == 3 * PICO
    spent["a"] = 4 * PICO  # it is the truth again
    assert gone(tmp_path, "a") == 4 * PICO


def test_who_starts_over_counts_on_unless_all_do(tmp_path: Path, spent: dict[str, int]) -> None:
    spent.update(a=5 * PICO, b=7 * PICO)
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=True) as money:
        money.begin(["a", "b"])
        money.begin_anew(["a"])
        assert money.gone(["a", "b"], but=["a"]) == 12 * PICO
    spent["a"] = PICO
    assert gone(tmp_path, "a") == 13 * PICO
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=True) as money:
        money.begin_anew(["a", "b"])
        money.begin(["a", "b"])
        assert money.gone(["a", "b"], but=["a", "b"]) == 0
    spent.clear()
    assert gone(tmp_path, "a", "b") == 0


def test_manifests_are_told_apart_by_their_path(tmp_path: Path, spent: dict[str, int]) -> None:
    spent["a"] = 5 * PICO
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=False) as money:
        money.begin(["a"])
    with whole_money(tmp_path, manifest=tmp_path / "other.yaml", capped=False) as money:
        assert money.gone(["b"]) == 0


def test_a_torn_last_line_is_not_there_and_another_is_named(tmp_path: Path, spent: dict[str, int]) -> None:
    with whole_money(tmp_path, manifest=tmp_path / "m.yaml", capped=False) as money:
        money.note("a", 3 * PICO)
    [path] = tmp_path.glob(".money-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"experiment_id": "b", "spe')
    assert gone(tmp_path) == 3 * PICO
    assert path.read_bytes() == whole
    path.write_bytes(whole + b"nonsense\n")
    with pytest.raises(RunDirectoryError, match="jsonl:3: expected what an experiment has spent"):
        gone(tmp_path)
    assert spent == {}


def test_a_cap_is_alone_and_commands_without_one_are_not(tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    with (
        whole_money(tmp_path, manifest=manifest, capped=False),
        whole_money(tmp_path, manifest=manifest, capped=False),
        pytest.raises(RunDirectoryError, match="another command runs experiments of it"),
        whole_money(tmp_path, manifest=manifest, capped=True),
    ):
        raise AssertionError("never reached")
    assert gone(tmp_path) == 0
    shutil.rmtree(tmp_path)
