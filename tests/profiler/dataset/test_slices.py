"""A dataset that is surveyed in slices is known as well as one that is read from one end to the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from profiler.dataset import file, slices
from profiler.dataset.places import Place, places, reading_from
from profiler.dataset.unchanged import stamp

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.dataset.slices import Surveyed


def row(number: int, **more: Any) -> bytes:
    return json.dumps({"dialogue_id": f"d{number}", "user": "x" * (number % 60 + 1), **more}).encode()


def surveyed(path: Path, folder: Path, *, processes: int = 3) -> Surveyed | None:
    """Every slice by itself, as workers do it."""
    found = []
    for number, part in enumerate(slices.slices_of(path, processes=processes)):
        hashes = folder / f"hashes-{number}"
        found.append((slices.look_at(path, part, hashes=hashes), hashes))
    return slices.put_together(path, found, file.survey(path).sha256, stamp(path))


@pytest.fixture(autouse=True)
def _places_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "EVERY", 3)


@pytest.mark.parametrize("processes", [1, 2, 40])
@pytest.mark.parametrize(
    "content",
    [
        b"".join(row(number) + b"\n" for number in range(100)),
        b"\xef\xbb\xbf" + b"\r\n".join(row(number) for number in range(100)),
        b"\n\n  \n".join(row(number, own=number, required_facts=["a"]) for number in range(100)) + b"\n\n",
        row(0, messages=None)
        + b"\n"
        + row(1, request={"output_format": {"type": "json_schema", "schema": {}}}, tags=["t"])
        + b"\n"
        + row(2, expected=1),
    ],
    ids=["plain", "bom_and_no_last_newline", "blank_lines", "short"],
)
def test_slices_say_what_one_reader_says_and_where_dialogues_begin(
    tmp_path: Path, content: bytes, processes: int
) -> None:
    path = tmp_path / "dialogues.jsonl"
    path.write_bytes(content)
    found = surveyed(path, tmp_path, processes=processes)
    assert found is not None
    assert found.survey == file.survey(path)
    exact = {place.dialogue: place for place in places(path, every=1, count=found.survey.count)}
    assert found.places[0].dialogue == 0
    for place in found.places:
        with reading_from(path, place, skip=0) as dialogues:
            assert next(dialogues).dialogue_id == f"d{place.dialogue}"
        assert place.line <= exact[place.dialogue].line  # blank lines before it may belong to it


@pytest.mark.parametrize(
    "wrong",
    [{"dialogue_id": "d3"}, {"user": 7}, {"dialogue_id": 1_000}],
    ids=["used_in_another_slice", "wrong_type", "remarked_on"],
)
def test_what_may_be_wrong_is_left_to_one_reader(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "dialogues.jsonl"
    path.write_bytes(b"".join(row(number) + b"\n" for number in range(100)))
    sound, sha256 = slices.slices_of(path, processes=3), file.survey(path).sha256
    path.write_bytes(path.read_bytes() + json.dumps({"dialogue_id": "last", "user": "x", **wrong}).encode())
    assert len(sound) > 3
    found = []
    for number, part in enumerate(slices.slices_of(path, processes=3)):
        hashes = tmp_path / f"hashes-{number}"
        found.append((slices.look_at(path, part, hashes=hashes), hashes))
    assert slices.put_together(path, found, sha256, stamp(path)) is None


def test_as_many_places_stay_as_ranges_of_a_size_need() -> None:
    fine = [Place(dialogue, dialogue * 10, dialogue + 1) for dialogue in (0, 3, 6, 7, 10, 13, 40, 43)]
    assert [place.dialogue for place in slices.thinned(fine, every=7, count=50)] == [0, 7, 13, 40, 43]
    assert [place.dialogue for place in slices.thinned(fine, every=1, count=44)] == [0, 3, 6, 7, 10, 13, 40, 43]
    assert [place.dialogue for place in slices.thinned(fine, every=1000, count=1000)] == [0]
