from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from profiler.storage.identity_differences import differences

VALUES = st.none() | st.integers() | st.text(max_size=3) | st.booleans()
IDENTITIES = st.dictionaries(
    st.sampled_from("abc"), VALUES | st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3), max_size=3
)


@given(old=IDENTITIES, new=IDENTITIES)
def test_differences_are_what_differs_and_nothing_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    def flat(identity: dict[str, Any]) -> dict[str, Any]:
        both = {name for name in old.keys() & new.keys() if isinstance(old[name], dict) and isinstance(new[name], dict)}
        leaves = {name: value for name, value in identity.items() if name not in both}
        return leaves | {f"{name}.{part}": value for name in both for part, value in identity[name].items()}

    before, now = flat(old), flat(new)
    differing = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    assert sorted(line.partition(":")[0] for line in differences(old, new)) == differing


def test_an_empty_mapping_and_none_are_told_apart() -> None:
    assert differences({"request": {}}, {"request": None}) == ["request: the run has empty, now it is none"]
