"""Clients that others wrote, each in an environment of its own, do on the server what they do on the API.

`make test-clients` makes the environments; a test of one that is not made is skipped with a word, unless it is required.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache

import pytest

from tests.clients.environments import NAMES, environment
from tests.servers import mock_server

PATIENCE_S = 300
REQUIRED = os.environ.get("CLIENTS", "").split()  # what `make test-clients` has made


def checks(name: str) -> list[str]:
    """The checks of an environment, from the text of its program."""
    source = environment(name).source
    program = next(path for path in source.glob("checks.*") if path.suffix in (".py", ".mjs")).read_text(
        encoding="utf-8"
    )
    return re.findall(r"^(?:export )?(?:async )?(?:def|function) (check_\w+)", program, re.MULTILINE)


@cache
def ended(name: str) -> dict[str, str | None]:
    """How every check of an environment ended: with nothing, or with what its client raised."""
    wanted = environment(name)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("ANTHROPIC_", "PYTHON"))}
    if wanted.is_node:
        for program in (wanted.source / "checks.mjs", wanted.source.parent / "run.mjs"):
            shutil.copy(program, wanted.folder)  # beside the modules that it imports
    with mock_server(
        "--tool-rate", "1"
    ) as server:  # an agent's questions name its folder, so chance would differ each time
        environ |= {"ANTHROPIC_BASE_URL": server.base_url, "ANTHROPIC_API_KEY": "mock", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            wanted.command,
            cwd=wanted.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    try:
        found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return dict.fromkeys(checks(name), f"{name} did not come to its end:\n{done.stdout}\n{done.stderr}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "check"), [(name, check) for name in NAMES for check in checks(name)])
def test_a_foreign_client_is_answered(name: str, check: str) -> None:
    if not environment(name).made:
        if name in REQUIRED:
            pytest.fail(f"the environment of {name} is required and is not made from its pins of today")
        pytest.skip(f"make test-clients makes the environment of {name}")

    failure = ended(name)[check]

    assert failure is None, failure
