"""Hostile names, manifests and datasets: never a traceback, always exit 2 and a place, and nothing written outside."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.faults.runs import COMPLETE, Ended, Site, dialogues, refused, whole_records


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_ids_of_dialogues_never_become_paths(tmp_path: Path) -> None:
    names = ["../../escaped", "/tmp/escaped-from-the-run", "a/b/c", "..", ".", "-rf", "~", "C:\\x", "%2e%2e", "é" * 300]
    site = Site(folder=tmp_path / "deep" / "site").write(
        [{"dialogue_id": name, "user": "hello"} for name in names], client=None
    )
    before = files_below(tmp_path)

    assert site.run().code == 0

    run_dir = site.run_dir.relative_to(tmp_path)
    made = {str(run_dir.parent), str(run_dir), *(str(run_dir / name) for name in COMPLETE)}
    assert files_below(tmp_path) - before == made
    assert not Path("/tmp/escaped-from-the-run").exists()
    assert [record["dialogue_id"] for record in whole_records(site.responses)] == names


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped-run", "..", ".", "a/b", ".hidden", "a\u0000b", "a\\b", "", "x\n", "a" * 200]
)
def test_ids_of_experiments_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    site = Site(folder=tmp_path / "deep" / "site", experiment_id=name).write(dialogues(1), client=None)
    before = files_below(tmp_path)

    run = site.run_here()

    assert refused(run, f"{site.manifest}:2:")
    assert files_below(tmp_path) == before


def test_a_matrix_cannot_lead_outside_either(tmp_path: Path) -> None:
    site = Site(folder=tmp_path / "deep" / "site").write(dialogues(1), client=None)
    manifest = json.loads(site.manifest.read_text())
    manifest["matrix"] = {"model": ["../../escaped", "a/b"]}
    site.manifest.write_text(json.dumps(manifest))

    run = site.run_here()

    made = [path for path in tmp_path.rglob("*") if not path.is_relative_to(site.folder)]
    assert run.code in (0, 2)
    assert made == [tmp_path / "deep"]


def test_a_missing_manifest(tmp_path: Path) -> None:
    assert refused(Site(folder=tmp_path).run_here(), f"error: {tmp_path / 'manifest.yaml'}: cannot read the manifest")


def test_a_manifest_that_is_no_yaml(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(1))
    site.manifest.write_text("experiment_id: demo\nmodel: [claude\nmax_tokens: 3\n")

    assert refused(site.run_here(), f"error: {site.manifest}:2:8: ")


def test_a_missing_dataset(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(1))
    site.dataset.unlink()

    assert refused(site.run_here(), f"error: {site.manifest}:5:", "dialogues.jsonl")


def test_a_bad_dataset_is_refused_with_every_bad_line_before_anything_is_asked(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write([*dialogues(3), {"user": "who am I?"}, {"dialogue_id": "d1", "user": "again"}])

    assert refused(site.run(), f"{site.dataset}:4", f"{site.dataset}:5")
    assert site.calls() == []


def test_a_client_that_is_not_there(tmp_path: Path) -> None:
    site = Site(folder=tmp_path).write(dialogues(1), client="Nobody")

    assert refused(site.run(), "error: client: 'tests.faults.clients' has no 'Nobody'")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "experiment_id",
        "model",
        "max_tokens",
        "dataset_path",
        "output_fields",
        "metrics",
        "thresholds",
        "system",
        "retry",
        "rate_limits",
        "matrix",
        "defaults",
        "experiments",
        "stop_sequences",
        "log_schema_version",
        "temperature",
        "modle",
    ]
)
TEXT = st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1"))
YAML = st.lists(
    st.sampled_from(
        [
            "a: ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&x ",
            "*x ",
            "!!python/object:os.system ",
            "? ",
            "| ",
            "\n",
            "  ",
            "\t",
            "<<: ",
        ]
    ),
    max_size=30,
).map("".join)


OWN = ("error: metrics: ",)  # a metric that people bring is only known once it is imported


def told(run: Ended, *places: Path) -> bool:
    """Whether a run either worked, or said where the fault is."""
    assert "Traceback" not in run.said, run.said
    assert run.code in (0, 1, 2), run
    assert run.code != 2 or any(str(place) in run.err for place in (*places, *OWN)), run.err
    return True


@settings(max_examples=25, deadline=None)
@given(change=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
@example(change={"metrics": ["os:system"]})
@example(change={"dataset_path": "\x00"})
@example(change={"dataset_path": "."})
@example(change={"system": "\ud800"})
def test_any_value_in_a_manifest_is_taken_or_told(change: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder=Path(folder)).write(dialogues(2), client=None, **change)
        assert told(site.run_here(), site.manifest, site.dataset)


@settings(max_examples=25, deadline=None)
@given(text=TEXT | YAML)
@example(text="a: &x [*x]")
@example(text="[" * 5000)
@example(text="{" * 5000)
@example(text="\ufeff")
@example(text="experiment_id: \ud800")
def test_any_text_as_a_manifest_is_told(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder=Path(folder)).write(dialogues(2))
        site.manifest.write_bytes(text.encode(errors="surrogatepass"))
        run = site.run_here()
        assert told(run, site.manifest)
        assert run.code == 2


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["dialogue_id", "user", "messages", "turns", "system", "required_facts", "tags", "expect_refusal", "x"]
        ),
        VALUES,
        max_size=4,
    ).map(lambda row: {"dialogue_id": "a", "user": "b"} | row),
    max_size=3,
).map(lambda rows: "".join(json.dumps(row) + "\n" for row in rows))


@settings(max_examples=25, deadline=None)
@given(text=TEXT | ROWS)
@example(text="[" * 100_000)
@example(text='{"dialogue_id": "a", "user": "\\ud800"}\n')
@example(text='{"dialogue_id": "a", "user": "b", "n": 1' + "0" * 5000 + "}\n")
@example(text='{"dialogue_id": "a", "user": "b", "n": ' + "[" * 3000 + "]" * 3000 + "}\n")
@example(text="\x00" * 100)
def test_any_dataset_is_run_or_told(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder=Path(folder)).write([], client=None)
        site.dataset.write_bytes(text.encode(errors="surrogatepass"))
        assert told(site.run_here(), site.dataset)
