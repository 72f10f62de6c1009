"""What docs/ and the README show is what the program does."""

from __future__ import annotations

import re
import sys

import pytest

from tests import regenerate

README = regenerate.ROOT / "README.md"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays help out differently from Python 3.13 on")
def test_the_command_line_reference_is_what_help_says() -> None:
    assert regenerate.CLI.read_text(encoding="utf-8") == regenerate.cli_reference()


def test_the_sample_results_are_what_the_sample_prints() -> None:
    assert regenerate.RESULTS.read_text(encoding="utf-8") == regenerate.sample_results()


def test_the_table_in_the_readme_is_the_one_of_the_sample() -> None:
    shown = re.search(
        r"```text\n(Experiment Metrics \(demo_run\)\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )

    assert shown is not None
    assert shown[1].strip() in regenerate.RESULTS.read_text(encoding="utf-8")


def test_every_path_in_the_readme_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))

    assert links
    assert [link for link in links if not (regenerate.ROOT / link).exists()] == []


def test_every_step_of_a_dialogue_is_where_the_overview_says() -> None:
    overview = (regenerate.ROOT / "docs" / "TECHNICAL_OVERVIEW.md").read_text(encoding="utf-8")
    steps = [row.split("|")[2:4] for row in re.findall(r"^\| .*\.py` \| `.*$", overview, re.MULTILINE)]
    assert len(steps) > 10
    for modules, functions in steps:
        texts = [
            (regenerate.ROOT / "profiler" / name).read_text(encoding="utf-8")
            for name in re.findall(r"`([\w/]+\.py)`", modules)
        ]
        for name in re.findall(r"`([\w.]+)`", functions):
            owner, _, function = name.rpartition(".")
            found = [text for text in texts if f"def {function}(" in text]
            assert any(f"class {owner}:" in text for text in found) if owner else found, name
