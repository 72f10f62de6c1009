"""The validator of Every Eval Ever, of its own package, for the test of that export.

`python -m tests.every_eval.validator` installs it into `.venv-clients/every-eval`, where nothing else can meet it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

PINS = Path(__file__).with_name("requirements.txt")
FOLDER = Path(__file__).resolve().parents[2] / ".venv-clients" / "every-eval"
STAMP = FOLDER / ".made-from"
REQUIRED = "EVERY_EVAL"  # variable: the test must not skip, for the validator is known to be here


def made() -> bool:
    return STAMP.is_file() and STAMP.read_bytes() == PINS.read_bytes()


def main() -> int:
    """The stamp is written last, so that one that was interrupted is made again."""
    if not made():
        shutil.rmtree(FOLDER, ignore_errors=True)
        alone = ["--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--require-hashes"]
        quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
        pip = [sys.executable, "-m", "pip", "install", *quiet, *alone, "--target", str(FOLDER), "-r", str(PINS)]
        subprocess.run(pip, check=True)
        STAMP.write_bytes(PINS.read_bytes())
    return 0


def reports(paths: Sequence[Path], *, folder: Path) -> list[dict[str, Any]]:
    """What it says of these files, which stand below `folder` as they would in the collection."""
    words = [sys.executable, "-m", "every_eval_ever.validator.validate", "--format", "json"]
    environ = {**os.environ, "PYTHONPATH": str(FOLDER)}
    names = [str(path.relative_to(folder)) for path in paths]
    done = subprocess.run([*words, *names], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"the validator did not come to its end:\n{done.stdout}\n{done.stderr}") from None
    return found


if __name__ == "__main__":
    sys.exit(main())
