from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from task_kit import sandbox
from task_kit.sandbox import Level, SandboxError, interpreter

from .running import LEVELS, run

OURS = ("profiler", "task_kit", "grader", "tests", "pytest", "numpy", "pip")
IMPORTS = """
import importlib.util, sys
print([name for name in sys.argv[1:] or {names} if importlib.util.find_spec(name)])
"""


def test_only_what_is_allowed_can_be_imported(level: Level) -> None:
    folders = sandbox.packages(["PyYAML", "orjson", "anyio"])
    names = [*OURS, "yaml", "_yaml", "orjson", "anyio", "idna"]
    env = {"PYTHONPATH": ":".join(map(str, folders))}

    outcome = run(IMPORTS.format(names=names), level=level, readable=folders, env=env)

    assert outcome.stdout == b"['yaml', '_yaml', 'orjson', 'anyio', 'idna']\n"


def test_what_is_allowed_works(level: Level) -> None:
    folders = sandbox.packages(["pyyaml", "orjson"])
    code = "import yaml, orjson; print(orjson.dumps(yaml.load('a: [1, 2]', yaml.CSafeLoader)))"

    outcome = run(code, level=level, readable=folders, env={"PYTHONPATH": str(folders[0])})

    assert (outcome.stdout, outcome.stderr) == (b"""b'{"a":[1,2]}'\n""", b"")


def test_nothing_else_can_be_imported_without_packages(level: Level) -> None:
    assert run(IMPORTS.format(names=[*OURS, "yaml"]), level=level).stdout == b"[]\n"


def test_the_standard_library_is_whole(level: Level) -> None:
    code = (
        "import ssl, sqlite3, ctypes, asyncio, multiprocessing, zoneinfo, lzma; asyncio.run(asyncio.sleep(0)); exit()"
    )

    outcome = run(code, level=level)

    assert (outcome.exit_code, outcome.stderr) == (0, b"")


def test_what_is_installed_elsewhere_cannot_be_read(tmp_path: Path) -> None:
    project = Path(interpreter.__file__)

    outcome = run(f"print(open({str(project)!r}).read())", level=Level.KERNEL)

    assert b"PermissionError" in outcome.stderr


@pytest.mark.parametrize("level", [level for level in LEVELS if level > Level.PROCESS], ids=lambda level: level.label)
def test_what_is_installed_into_the_interpreter_cannot_be_read(level: Level) -> None:
    """It lies below the standard library, which can be."""
    installed = sorted(path for folder in interpreter.masked() for path in Path(folder).rglob("*.py"))
    if not installed:
        pytest.skip("nothing is installed into the interpreter itself")

    outcome = run(f"import json.tool; print(open({str(installed[0])!r}).read())", level=level)

    assert re.search(rb"(PermissionError|FileNotFoundError): .*site-packages", outcome.stderr)


def test_a_name_that_nothing_was_installed_under() -> None:
    with pytest.raises(SandboxError, match="packages: not installed here: no-such-thing"):
        sandbox.packages(["pyyaml", "No_Such.Thing"])


def test_the_same_packages_are_the_same_folder() -> None:
    assert sandbox.packages(["orjson", "PyYAML"]) == sandbox.packages(["pyyaml", "orjson"])


def test_links_of_others_open_nothing(tmp_path: Path) -> None:
    """A submission may be full of links: they lead nowhere, as what they lead to was not asked for."""
    (tmp_path / "yaml").symlink_to("/etc")

    assert interpreter.with_targets([tmp_path]) == [tmp_path]


def test_a_folder_that_several_distributions_share_is_entered(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    (tmp_path / "shared" / "mine" / "__init__.py").touch()
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").touch()

    assert interpreter.own_name(("shared", "mine", "a.py"), tmp_path) == "shared/mine"
    assert interpreter.own_name(("whole", "inner", "a.py"), tmp_path) == "whole"
    assert interpreter.own_name(("..", "bin", "tool"), tmp_path) is None
    assert interpreter.own_name(("editable.pth",), tmp_path) is None


def test_to_import_the_package_costs_no_module_of_a_supervisor_much() -> None:
    """A supervisor of boxes starts often: what takes long to import stays away from it."""
    code = "import sys, task_kit.sandbox.inside as _; print(sorted({'dataclasses', 'json', 'pathlib', 'typing'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
