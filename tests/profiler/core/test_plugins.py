from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from profiler.core import plugins
from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _modules_as_before() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_what_stands_beside_the_manifest_is_found(tmp_path: Path) -> None:
    module(tmp_path, "own_thing", "value = 7")
    assert plugins.load("own_thing:value", key="metrics", search_path=tmp_path) == 7


def test_what_stands_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(tmp_path, "own_here", "value = 8")
    monkeypatch.chdir(tmp_path)
    assert plugins.load("own_here:value", key="metrics") == 8


def test_two_manifests_have_each_a_module_of_the_same_name_and_its_helpers(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        module(folder, "own_same", f"import own_helper\nvalue = {folder.name!r}, own_helper.value")
        module(folder, "own_helper", f"value = {folder.name!r}")

    found = [plugins.load("own_same:value", key="client", search_path=folder) for folder in (*folders, *folders)]

    assert found == [("one", "one"), ("two", "two")] * 2


def test_the_manifests_own_file_stands_before_one_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside").mkdir()
    module(tmp_path, "own_both", "value = 'here'")
    module(tmp_path / "beside", "own_both", "value = 'beside the manifest'")
    monkeypatch.chdir(tmp_path)

    assert plugins.load("own_both:value", key="client", search_path=tmp_path / "beside") == "beside the manifest"
    assert plugins.load("own_both:value", key="client") == "here"


def test_a_module_is_loaded_once_and_its_annotations_can_be_resolved(tmp_path: Path) -> None:
    module(
        tmp_path,
        "own_kind",
        "from __future__ import annotations\nclass Kind: ...\nclass Thing:\n    kind: Kind\nthings = []",
    )
    thing: Any = plugins.load("own_kind:Thing", key="client", search_path=tmp_path)

    assert get_type_hints(thing)["kind"].__name__ == "Kind"
    first, second = (plugins.load("own_kind:things", key="client", search_path=tmp_path) for _ in range(2))
    assert first is second


def test_the_search_path_is_as_before_afterwards(tmp_path: Path) -> None:
    before = list(sys.path)
    module(tmp_path, "own_fails", "raise ValueError('no')")
    with pytest.raises(UsageError):
        plugins.load("own_fails:value", key="metrics", search_path=tmp_path)
    assert sys.path == before


@pytest.mark.parametrize("name", ["", "json", "json:", ":dumps", "json:dumps:more", "../x:y", "a b:c", "json:a.b"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form module:attribute"):
        plugins.load(name, key="client")


def test_a_module_that_is_not_there_is_told_with_its_reason() -> None:
    with pytest.raises(UsageError, match=r"client: cannot import 'no_such_module' .*ModuleNotFoundError") as caught:
        plugins.load("no_such_module:x", key="client")
    assert caught.value.hint == "put no_such_module.py beside the manifest, or install what it is in"


def test_a_module_that_lacks_one_that_it_imports_is_not_looked_for_beside_the_manifest(tmp_path: Path) -> None:
    module(tmp_path, "own_lacking", "import no_such_module")
    with pytest.raises(UsageError, match=r"No module named 'no_such_module'") as caught:
        plugins.load("own_lacking:x", key="client", search_path=tmp_path)
    assert caught.value.hint is None


@pytest.mark.parametrize("text", ["raise ValueError('my reason')", "this is no python", "import sys; sys.exit(0)"])
def test_a_module_that_does_not_load_is_told_whatever_it_does(tmp_path: Path, text: str) -> None:
    module(tmp_path, "own_broken", text)
    with pytest.raises(UsageError, match=r"cannot import 'own_broken'"):
        plugins.load("own_broken:x", key="client", search_path=tmp_path)


def test_an_attribute_that_is_not_there_is_guessed(tmp_path: Path) -> None:
    module(tmp_path, "own_names", "brevity = 1\n_hidden = 2")
    with pytest.raises(UsageError, match="'own_names' has no 'brevety'") as caught:
        plugins.load("own_names:brevety", key="metrics", search_path=tmp_path)
    assert caught.value.hint == "did you mean 'brevity'?"
