from __future__ import annotations

import pytest

from profiler.provider.mock_server.settings import ApiError
from profiler.provider.mock_server.wire.paging import page_by_id, page_by_token

IDS = [f"id_{number}" for number in range(7)]


def show(name: str) -> dict[str, str]:
    return {"id": name}


def test_all_pages_by_token_are_the_whole_list() -> None:
    found, token = [], ""
    while True:
        page = page_by_token(IDS, f"limit=3&page={token}", show=show)
        found += [each["id"] for each in page["data"]]
        if (token := page["next_page"]) is None:
            break
        assert token.startswith("page_")

    assert found == IDS


def test_pages_by_id_go_both_ways() -> None:
    after = page_by_id(IDS, "limit=2&after_id=id_2", show=show)
    before = page_by_id(IDS, "limit=2&before_id=id_2", show=show)

    assert [each["id"] for each in after["data"]] == ["id_3", "id_4"]
    assert [each["id"] for each in before["data"]] == ["id_0", "id_1"]
    assert (after["has_more"], before["has_more"], after["last_id"]) == (True, False, "id_4")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "page=page_%25", "page=nothing"])
def test_a_page_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(ApiError):
        page_by_token(IDS, query, show=show)


def test_a_page_after_what_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(ApiError, match="after_id"):
        page_by_id(IDS, "after_id=id_99", show=show)
