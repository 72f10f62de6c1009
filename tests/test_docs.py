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
