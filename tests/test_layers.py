"""Imports point one way, on two levels: a package knows only those before it, and so does a module inside its package."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.layer_orders import (
    CONSTANTS,
    ENTRIES,
    FORBIDDEN,
    GIVEN,
    GIVEN_IMPORTS,
    LAZY_MODULES,
    LAZY_PACKAGES,
    ORDERS,
    TOP,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

LONGEST = 60  # lines of a function


class Import(NamedTuple):
    target: str  # dotted and absolute: "profiler.engine.runner.run", "profiler.__version__", "anyio"
    line: int
    lazy: bool  # inside a function


class Collector(ast.NodeVisitor):
    """Every import of one module, wherever it hides."""

    def __init__(self, package: str) -> None:
        self.package = package.split(".")
        self.functions = 0
        self.found: list[Import] = []

    def add(self, target: str, line: int) -> None:
        self.found.append(Import(target, line, lazy=self.functions > 0))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        source = [*base, node.module] if node.module else base
        for alias in node.names:
            self.add(".".join([*source, alias.name]), node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in {"import_module", "__import__"} and node.args and isinstance(node.args[0], ast.Constant):
            self.add(str(node.args[0].value), node.lineno)
        self.generic_visit(node)

    def visit_function(self, node: ast.AST) -> None:
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function


@cache  # each rule looks at the same files
def imports(file: Path, root: Path) -> list[Import]:
    collector = Collector(package=".".join(file.relative_to(root).parent.parts))
    collector.visit(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return collector.found


def name_of(file: Path, root: Path) -> str:
    """Of a module, dotted; of a package that of its `__init__`."""
    return ".".join(file.relative_to(root).with_suffix("").parts)


def given(file: Path, root: Path) -> bool:
    """Whether it belongs to what a model is given, which has rules of its own."""
    return file.is_relative_to(root / GIVEN)


def modules(root: Path, top: str) -> Iterator[tuple[Path, str]]:
    for file in sorted((root / top).rglob("*.py")):
        if not given(file, root):
            yield file, name_of(file, root)


def fork(module: str, target: str) -> tuple[str, str, str] | None:
    """The package in which the ways to two modules part, and where each goes on there; None where they do not part."""
    package, ours, theirs = "", module.split("."), target.split(".")
    for mine, other in zip(ours, [*theirs, ""], strict=False):
        if mine != other:
            order = ORDERS.get(package, ())
            return package, mine, other if other in order else "__init__"
        package = f"{package}.{mine}" if package else mine
    return None


def misplaced(root: Path, top: str) -> Iterator[str]:
    """Modules and packages without a place in the order of their package."""
    for file, module in modules(root, top):
        parts = module.split(".")
        for depth in range(1, len(parts)):
            package, member = ".".join(parts[:depth]), parts[depth]
            if member not in ORDERS.get(package, ()):
                place = file.relative_to(root)
                yield f"{place}: {member!r} has no place in the order of {package} in tests/layer_orders.py yet"
                break


def upward(root: Path, top: str) -> Iterator[str]:
    """Imports inside a package that point to the right, or are hidden in a function without a reason."""
    for file, module in modules(root, top):
        for found in imports(file, root):
            place = f"{file.relative_to(root)}:{found.line}"
            if found.target.partition(".")[0] != top:
                if found.lazy and found.target.partition(".")[0] not in LAZY_PACKAGES:
                    yield f"{place}: {found.target} is imported inside a function and is not in LAZY_PACKAGES"
                continue
            parting = fork(module, found.target)
            if parting is None or found.target in CONSTANTS:
                continue
            package, mine, other = parting
            order = ORDERS.get(package, ())
            if mine in order and other in order and order.index(other) > order.index(mine):
                yield f"{place}: {mine} imports {found.target}, but {other} stands to its right in the order"
            if found.lazy and module not in LAZY_MODULES:
                yield f"{place}: {found.target} is imported inside a function and {module} is not in LAZY_MODULES"


def beyond(root: Path) -> Iterator[str]:
    """Imports of what a model would not have where its files run."""
    for part, allowed in GIVEN_IMPORTS.items():
        for file in sorted((root / GIVEN / part).rglob("*.py")):
            inside = ".".join(file.parent.relative_to(root).parts) + "."
            for found in imports(file, root):
                first = found.target.partition(".")[0]
                if not (found.target.startswith(inside) or first in allowed | sys.stdlib_module_names):
                    yield f"{file.relative_to(root)}:{found.line}: {part} must do without {found.target}"


def across(root: Path) -> Iterator[str]:
    """Imports of a package that the importing one must not know."""
    for package, forbidden in FORBIDDEN.items():
        for file in sorted((root / package).rglob("*.py")):
            for found in imports(file, root):
                if found.target.partition(".")[0] in forbidden:
                    yield f"{file.relative_to(root)}:{found.line}: {package} must not know {found.target}"


def violations(root: Path) -> list[str]:
    placed = [line for top in TOP for line in (*misplaced(root, top), *upward(root, top))]
    return [*placed, *across(root), *beyond(root)]


def test_imports_point_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize("package", ORDERS)
def test_every_name_in_an_order_is_a_member_of_its_package(package: str) -> None:
    folder = ROOT / Path(*package.split("."))
    written = {file.stem for file in folder.glob("*.py")}
    written |= {file.parent.name for file in folder.glob("*/__init__.py")} - {"tools"}  # given to a model
    if package == "task_kit":
        written.add("experiment_profiler")  # files that a model is given, and no package of ours

    assert len(set(ORDERS[package])) == len(ORDERS[package])
    assert set(ORDERS[package]) == written


@pytest.mark.parametrize(("top", "most"), ENTRIES.items())
def test_the_first_look_is_short(top: str, most: int) -> None:
    listed = {path.name for path in (ROOT / top).iterdir() if path.name != "__pycache__"}

    assert len(listed) <= most, sorted(listed)


def test_importing_a_package_loads_nothing() -> None:
    for package in (name for name in ORDERS if name.startswith("profiler.")):
        body = ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text(encoding="utf-8")).body

        assert all(isinstance(node, ast.Expr) for node in body), package  # its docstring


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("profiler/core/json.py", "from profiler.engine.runner import run", "engine stands to its right"),
        ("profiler/core/json.py", "from profiler.engine import runner", "engine stands to its right"),
        ("profiler/core/json.py", "import profiler.engine.runner as later", "engine stands to its right"),
        ("profiler/core/json.py", "from ..engine import runner", "engine stands to its right"),
        ("profiler/core/json.py", "from . import plugins", "plugins stands to its right"),
        ("profiler/core/json.py", "from .plugins import load", "plugins stands to its right"),
        (
            "profiler/core/json.py",
            "if TYPE_CHECKING:\n    import profiler.engine.calls.pool",
            "engine stands to its right",
        ),
        ("profiler/core/json.py", "try:\n    import profiler.cli\nexcept ImportError: pass", "cli stands to its right"),
        ("profiler/core/json.py", "import_module('profiler.engine.runner')", "engine stands to its right"),
        ("profiler/core/json.py", "import profiler", "__init__ stands to its right"),
        ("profiler/core/json.py", "from profiler import *", "__init__ stands to its right"),
        ("profiler/core/json.py", "from profiler.nowhere import x", "__init__ stands to its right"),
        ("profiler/provider/mock.py", "from ..engine.pool import Pool", "engine stands to its right"),
        ("profiler/provider/http/proxy.py", "from profiler.provider import fast", "fast stands to its right"),
        ("profiler/engine/slots.py", "from profiler.engine.calls.pool import Pool", "calls stands to its right"),
        ("profiler/engine/runner.py", "def f():\n    from profiler.core.json import loads", "not in LAZY_MODULES"),
        (
            "profiler/engine/runner.py",
            "class C:\n    async def f(self):\n        import tomllib",
            "not in LAZY_PACKAGES",
        ),
        ("profiler/engine/runner.py", "import grader.cli", "profiler must not know grader"),
        ("profiler/engine/runner.py", "def f():\n    import task_kit", "profiler must not know task_kit"),
        ("task_kit/stage.py", "from grader import cli", "task_kit must not know grader"),
        ("task_kit/sandbox/box.py", "from task_kit.stage import stage", "stage stands to its right"),
        ("task_kit/helpers.py", "", "'helpers' has no place"),
        (f"{GIVEN}/tools/dataset.py", "import profiler", "tools must do without profiler"),
        (f"{GIVEN}/tools/dataset.py", "from ..starter import x", "tools must do without task_kit"),
        (f"{GIVEN}/tools/dataset.py", "import yaml", "tools must do without yaml"),
        (f"{GIVEN}/starter/experiment_profiler/cli.py", "import task_kit", "starter must do without task_kit"),
        ("profiler/utils.py", "", "'utils' has no place"),
        ("profiler/helpers/text.py", "", "'helpers' has no place"),
        ("profiler/engine/calls/pool/worker.py", "", "'worker' has no place"),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    found = violations(tree(tmp_path, {file: text}))

    assert any(complaint in line and line.startswith(file) for line in found), found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "profiler/engine/runner.py",
            "from profiler.core import json\nfrom .pool import Pool\nimport profiler.core.errors",
        ),
        ("profiler/cli/table.py", "from profiler import __version__"),
        ("profiler/cli/table.py", "def show():\n    from rich.table import Table"),
        ("profiler/cli/main.py", "def command():\n    from profiler.engine.runner import run"),
        ("profiler/provider/fast.py", "from profiler.provider.client import Client\nfrom . import client"),
        ("profiler/__init__.py", "from profiler.engine.runner import run"),
        ("task_kit/stage.py", "import profiler"),
        ("task_kit/stage.py", "from task_kit.task import Task"),
        (f"{GIVEN}/tools/dataset.py", "import json\nfrom .logging_utils import loads\nfrom . import metrics"),
        (
            f"{GIVEN}/starter/experiment_profiler/cli.py",
            "import yaml\nfrom tools import dataset\nfrom .config import x",
        ),
        ("grader/cli/grade.py", "import profiler, task_kit"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, text: str) -> None:
    assert violations(tree(tmp_path, {file: text})) == []


# --- the story ---------------------------------------------------------------------------------------------------


def entries(function: ast.AST, imported: dict[str, str]) -> Counter[str]:
    """How often a function names something that was imported, by the module that it comes from."""
    named = (each for each in ast.walk(function) if isinstance(each, ast.Name))
    return Counter(imported[each.id] for each in named if each.id in imported)


def test_the_story_of_a_run_enters_each_module_at_most_twice() -> None:
    """So that a reader follows it down without coming back to what he has left. What only types need is not entered."""
    tree = ast.parse((ROOT / "profiler/engine/runner.py").read_text(encoding="utf-8"))
    imports = [
        each for each in tree.body if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("profiler.")
    ]
    imported = {
        name.name: f"{each.module}.{name.name}" if f"{each.module}" in ORDERS else f"{each.module}"
        for each in imports
        for name in each.names
    }
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions}
    entered = {each.name: entries(ast.Module(body=each.body, type_ignores=[]), imported) for each in functions}

    assert {"run_all", "_run_one"} <= lengths.keys()
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
    assert {
        (name, module): times for name, modules in entered.items() for module, times in modules.items() if times > 2
    } == {}
