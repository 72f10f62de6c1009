"""Objects by name: there as a whole or not at all, and created once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.core.errors import RunDirectoryError, UsageError
from profiler.storage.shared_runs.object_store import ObjectStore, object_store

stores = pytest.importorskip("obstore.store", reason="the extra object-store is not installed")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return object_store((tmp_path / "new").as_uri())
    return ObjectStore(stores.MemoryStore(), told="memory")


def test_an_object_is_put_read_listed_and_fetched(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    store.put("run/a/file", tmp_path / "source")
    store.put("run/b", b"first")
    store.put("run/b", b"second")
    store.put("runner/c", b"of another run")
    assert (store.get("run/b"), store.get("run/none")) == (b"second", None)
    assert (store.names("run"), store.names("none")) == (["a/file", "b"], [])
    store.fetch("run/a/file", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()


@settings(max_examples=25, deadline=None)
@given(who=st.lists(st.integers(0, 3), min_size=1))
def test_who_creates_first_has_it_and_learns_so_again(who: list[int]) -> None:
    """Also when it asks once more, because the first reply was lost."""
    store = ObjectStore(stores.MemoryStore(), told="memory")
    contents = [store.create("done/0", str(each).encode()) for each in who]
    assert set(contents) == {str(who[0]).encode()} == {store.get("done/0")}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs/there", "expected a URL such as s3://bucket/path"),
        ("memory:///", "expected a URL such as s3://bucket/path"),
        ("what://there", "Unable to recognise URL"),
    ],
)
def test_what_is_no_store_is_told(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        object_store(url)


def test_what_is_secret_in_a_url_is_not_told(tmp_path: Path) -> None:
    store = object_store(f"{tmp_path.as_uri()}?sig=secret#more")
    assert store.told == tmp_path.as_uri()
    assert object_store("s3://user:secret@bucket/path?key=1").told == "s3://bucket/path"


def test_what_the_store_says_is_an_error_of_one_line(tmp_path: Path) -> None:
    store = object_store(tmp_path.as_uri())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunDirectoryError, match=r"^file://.*/file/below: ") as caught:
        store.put("file/below", b"")
    assert "\n" not in str(caught.value)
    assert "the same command goes on" in str(caught.value.hint)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match="needs obstore") as caught:
        object_store("s3://bucket/path")
    assert caught.value.hint == "pip install 'experiment-profiler[object-store]'"


def test_a_store_that_cannot_create_on_condition_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could commit there."""
    obstore: Any = importlib.import_module("obstore")

    def unable(*_: object, **__: object) -> None:
        raise obstore.exceptions.NotSupportedError("conditional put")

    store = ObjectStore(stores.MemoryStore(), told="s3://old")
    monkeypatch.setattr(obstore, "put", unable)
    with pytest.raises(RunDirectoryError, match="s3://old: cannot make an object on condition"):
        store.create("done/0", b"me")


def test_a_store_that_ignores_the_condition_is_found_out(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        store.expect_conditions("run/probe")
    obstore: Any = importlib.import_module("obstore")
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda where, name, content, **_: put(where, name, content))
    with pytest.raises(RunDirectoryError, match="cannot make an object on condition"):
        store.expect_conditions("run/probe")
