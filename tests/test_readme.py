"""What the README tells people to type works, typed in its order in an empty folder.

A block is left out only with a comment right before it that says why: `<!-- not run: it installs -->`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.servers import mock_server

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = {"sh", "python", "yaml"}
FINE = {0, 1}  # 1: a threshold was missed
REASONS = {"installs", "tests", "grades", "measures"}


class Block(NamedTuple):
    language: str
    text: str
    line: int
    left_out: str | None


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start("text")), found["why"])
        for found in BLOCK.finditer(text)
    ]


README = [block for block in blocks(ROOT / "README.md") if block.language in RUN]


def typed(block: Block, folder: Path, environ: dict[str, str]) -> str | None:
    """What went wrong, if anything did."""
    command: list[str | Path]
    if block.language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    elif block.language == "python":
        command = [sys.executable, "-c", block.text]
    else:
        (folder / "configs" / "shown.yaml").write_text(block.text, encoding="utf-8")
        command = ["profiler", "validate", "--config", "configs/shown.yaml"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode in FINE:
        return None
    return f"README.md:{block.line}: exit {done.returncode}\n{block.text}\n{done.stdout}\n{done.stderr}"


def test_what_the_readme_says_works_in_its_order(tmp_path: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with mock_server() as server:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "PROFILER"))},
            "PATH": programs,
            "ANTHROPIC_BASE_URL": server.base_url,
            "NO_COLOR": "1",
            "PYTHONPATH": str(ROOT),
        }
        shown = [block for block in README if block.left_out is None]
        wrong = [complaint for block in shown if (complaint := typed(block, tmp_path, environ))]
        asked = server.stats()

    assert wrong == []
    assert {block.language for block in shown} == RUN
    assert asked["requests"]["total"] > 0  # the live ones really went out


def test_every_block_that_is_left_out_says_why() -> None:
    left_out = [block for block in README if block.left_out is not None]

    assert [block.left_out for block in left_out if not REASONS & set(str(block.left_out).split())] == []
