"""What must stay true of the tree as a whole: its top level, its pins, and what its files may contain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME = PROJECT["project"]["name"]

PACKAGES = ("profiler", "task_kit", "grader")
TOP_LEVEL = {
    *PACKAGES,
    *("configs", "data", "benchmarks", "tests", "docs"),
    *("pyproject.toml", "requirements.txt", "requirements-run.txt", "Makefile", "README.md", "LICENSE"),
}
MACHINE_PATH = re.compile(r"(?<![\w.~}-])/(?:root|work|home)/")  # `}/root/` goes on from a value
MERGE_MARKER = re.compile(r"^(?:<{7}|>{7}) ")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
# What a starter leaves to do is marked there, and told where the task is explained.
LEFT_TO_DO = re.compile(r"task_kit/\w+/(?:starter/.*\.py|prompt\.md|README\.md):")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, or no git is here")
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = [Path(name) for name in listing.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def tracked_text() -> Iterator[tuple[Path, str]]:
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            yield name, content.decode("utf-8")


def tracked_text_matching(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in tracked_text()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


RAY_PINS = "tests/ray/requirements.txt"  # in an environment of its own
PIN_FILES = ("requirements.txt", "requirements-run.txt", RAY_PINS)


def pins(name: str = "requirements.txt") -> dict[str, list[Version]]:
    """A name may be pinned more than once, for different platforms."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found: dict[str, list[Version]] = defaultdict(list)
    for match in PIN.finditer(text):
        found[canonicalize_name(match["name"])].append(Version(match["version"]))
    return found


def requirements() -> Iterator[Requirement]:
    """Everything that pyproject.toml asks for anywhere, this project's own name aside."""
    project = PROJECT["project"]
    lines = [*PROJECT["build-system"]["requires"], *project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    for group in PROJECT["dependency-groups"].values():
        lines += [entry for entry in group if isinstance(entry, str)]
    return (wanted for wanted in map(Requirement, lines) if wanted.name != NAME)


def test_the_top_level_holds_only_what_was_agreed() -> None:
    names = {name.parts[0] for name in tracked()}

    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert tracked_text_matching(MACHINE_PATH) == []


def test_no_merge_marker_was_left() -> None:
    assert tracked_text_matching(MERGE_MARKER) == []


def test_the_product_is_finished() -> None:
    found = tracked_text_matching(UNFINISHED)

    product = [line for line in found if line.startswith(tuple(f"{name}/" for name in PACKAGES))]
    assert [line for line in product if not LEFT_TO_DO.match(line)] == []


@pytest.mark.parametrize("name", PIN_FILES)
def test_every_pin_has_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?! )", "\n".join(line for line in text.splitlines() if not line.startswith("#")))

    assert len(blocks) > 20
    assert [block for block in blocks if not (PIN.match(block) and "--hash=sha256:" in block)] == []


@pytest.mark.parametrize("name", PIN_FILES)
def test_the_pins_hold_no_address_and_no_option(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    assert re.findall(r"://|file:|^\s*-\w.*|--(?!hash=sha256:)\S+| @ .*", text, re.MULTILINE) == []


def test_every_requirement_is_pinned_to_a_version_that_satisfies_it() -> None:
    pinned = pins(RAY_PINS) | pins()

    unsatisfied = [
        str(wanted)
        for wanted in requirements()
        if not (versions := pinned.get(canonicalize_name(wanted.name)))
        or not all(wanted.specifier.contains(version, prereleases=True) for version in versions)
    ]
    assert unsatisfied == []


def test_a_run_is_made_from_the_same_pins_as_the_tests() -> None:
    """`make run` installs the smaller file, `make test` then adds what is missing to the same environment."""
    everything = pins()
    wanted = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}

    assert {
        name: versions for name, versions in pins("requirements-run.txt").items() if everything[name] != versions
    } == {}
    assert wanted <= pins("requirements-run.txt").keys()
    assert {name: found for name, found in pins(RAY_PINS).items() if everything.get(name, found) != found} == {}
    assert "pytest" not in pins("requirements-run.txt")


def test_the_profiler_imports_nothing_that_it_does_not_declare() -> None:
    """An undeclared import works here, where the test tools are installed, and fails for whoever installs the wheel."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    provided_by = packages_distributions()

    undeclared = {
        package
        for file in (ROOT / "profiler").rglob("*.py")
        for package in imported_packages(file)
        if package not in sys.stdlib_module_names
        and package != "profiler"
        and not {canonicalize_name(name) for name in provided_by.get(package, (package,))} & declared
    }
    assert undeclared == set()


def imported_packages(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
