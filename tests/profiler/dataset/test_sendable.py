"""What cannot be sent, or checked, is refused with the place of the dialogue or of the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from profiler.core.errors import DatasetError
from profiler.dataset import file
from profiler.dataset.sendable import refuse_unsendable
from profiler.manifest.load import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.manifest.settings import Experiment

SHARED = """\
defaults:
  model: m
  max_tokens: 9
  dataset_path: d.jsonl
  metrics:
  - completion_rate
  - {json_schema: sent}
experiments:
- experiment_id: e
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "d.jsonl").write_text('{"dialogue_id": "a", "user": "x"}\n\n{"dialogue_id": "b", "user": "y"}\n')
    path = tmp_path / "m.yaml"
    path.write_text(SHARED)
    return path


def refused(experiment: Experiment) -> str:
    with pytest.raises(DatasetError) as caught:
        refuse_unsendable(experiment, file.survey(experiment.dataset_path))
    return str(caught.value)


def test_a_check_against_a_schema_that_nobody_sends_is_named_where_the_manifest_asks_for_it(manifest: Path) -> None:
    (experiment,) = load_manifest(manifest).experiments
    assert refused(experiment).splitlines() == [
        f"{manifest}:7:5: no schema is sent, against which json_schema would check answers",
        "      - {json_schema: sent}",
        "        ^",
        "    hint: set output_format in the manifest, or in the request of dialogues",
    ]


def test_where_there_is_no_manifest_to_point_into_the_setting_is_named(manifest: Path) -> None:
    (experiment,) = load_manifest(manifest).experiments
    said = "e: metrics.1: no schema is sent"
    assert refused(msgspec.structs.replace(experiment, written_in=None)).startswith(said)
    for now in ("model: [", SHARED.replace("id: e", "id: f")):  # it was changed since it was read
        manifest.write_text(now)
        assert refused(experiment).startswith(said)
    manifest.unlink()
    assert refused(experiment).startswith(said)


def test_a_dialogue_without_the_tools_that_must_be_chosen_among_is_named_by_its_line(manifest: Path) -> None:
    tool = '"request": {"tools": [{"name": "look", "input_schema": {"type": "object"}}]}'
    data = manifest.parent / "d.jsonl"
    data.write_text(f'{{"dialogue_id": "a", "user": "x", {tool}}}\n\n{{"dialogue_id": "b", "user": "y"}}\n')
    (experiment,) = load_manifest(manifest).experiments
    asked = msgspec.structs.replace(experiment, tool_choice={"type": "any"}, metrics=("completion_rate",))
    assert refused(asked).startswith(f"{data}:3: dialogue 'b' brings no tools")
