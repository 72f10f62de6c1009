from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from task_kit.sandbox import SandboxError, stranger

if TYPE_CHECKING:
    from pathlib import Path

EVERYBODY = "         0          0 4294967295\n"
A_FEW = "0 100000 65536\n"
ROOTLESS = "0 1000 1\n1 100000 65536\n"
ROOT_ALONE = "0 1000 1\n"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    users, groups = tmp_path / "users", tmp_path / "groups"
    monkeypatch.setattr(stranger, "USERS", users)
    monkeypatch.setattr(stranger, "GROUPS", groups)
    return users, groups


def written(tables: tuple[Path, Path], users: str, groups: str) -> None:
    for table, text in zip(tables, (users, groups), strict=True):
        table.write_text(text, encoding="ascii")


def test_it_is_nobody_that_a_distribution_knows(tables: tuple[Path, Path]) -> None:
    written(tables, EVERYBODY, EVERYBODY)

    assert {stranger.number() in stranger.UNUSED for _ in range(50)} == {True}


@pytest.mark.parametrize("table", [A_FEW, ROOTLESS])
def test_in_a_namespace_it_is_one_of_those_that_are_there(tables: tuple[Path, Path], table: str) -> None:
    written(tables, table, EVERYBODY)

    numbers = {stranger.number() for _ in range(50)}

    assert len(numbers) > 40
    assert min(numbers) >= stranger.PERHAPS_USED
    assert max(numbers) < stranger.NOBODY


@pytest.mark.parametrize("tables_of", [(ROOT_ALONE, EVERYBODY), (EVERYBODY, ROOT_ALONE)])
def test_root_alone_may_not_enter_a_box(tables: tuple[Path, Path], tables_of: tuple[str, str]) -> None:
    written(tables, *tables_of)

    with pytest.raises(SandboxError, match="no other user"):
        stranger.number()
