"""`frames`: the same frame comes out, and no objects travel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_kit.leakage_modeling.worker.frames import flatten, rebuild
from task_kit.leakage_modeling.worlds.settings import Settings
from task_kit.leakage_modeling.worlds.world import make_world


def there_and_back(*frames: pd.DataFrame) -> list[pd.DataFrame]:
    flat = [flatten(frame) for frame in frames]
    blobs = iter([memoryview(blob) for _, blobs in flat for blob in blobs])
    return [rebuild(shape, blobs) for shape, _ in flat]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, width=64),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
            st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_values_and_types_survive(rows: list[tuple[float, int, bool, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["f", "i", "b", "t"]).astype({"t": "str"})

    [found] = there_and_back(frame)

    pd.testing.assert_frame_equal(found, frame)
    assert found["f"].to_numpy().tobytes() == frame["f"].to_numpy().tobytes()


@pytest.mark.parametrize("difficulty", range(4))
def test_the_frames_of_a_world_survive(difficulty: int) -> None:
    world = make_world(3, Settings(difficulty=difficulty))

    train, test = there_and_back(world.train, world.test)

    pd.testing.assert_frame_equal(train, world.train)
    pd.testing.assert_frame_equal(test, world.test)


def test_rows_out_of_order_keep_their_places() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0], "t": ["a", None, "b"]}).iloc[[2, 0, 1]]

    [found] = there_and_back(frame)

    pd.testing.assert_frame_equal(found, frame.reset_index(drop=True))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_datetime(["2026-01-01"])),
        pd.Series([np.nan, object()]),
        pd.Series([1, "a"], dtype=object),
        pd.Series([1j]),
    ],
)
def test_what_is_neither_number_nor_text_is_refused(column: pd.Series) -> None:
    with pytest.raises(TypeError, match="column 'c'"):
        flatten(pd.DataFrame({"c": column}))
