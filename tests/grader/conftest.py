"""Shared by the tests of the grader: they use an installation secret of their own, not the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grader.leakage_modeling.grading.seeds import FILE, FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        state = tmp_path_factory.mktemp("state")
        (state / FOLDER).mkdir()
        (state / FOLDER / FILE).write_text("the same in every session, so that named seeds are the same worlds")
        patch.setenv("XDG_STATE_HOME", str(state))
        yield
