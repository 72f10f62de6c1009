"""What `profiler run` refuses or warns of before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from profiler.cli.banner import hints
from profiler.manifest.settings import Experiment, Prices
from profiler.provider.source import choose_mode
from tests.profiler.cli.shell import Shell, manifest, several

if TYPE_CHECKING:
    from profiler.core.nouns import Mode


def test_all_experiments_are_checked_before_the_first_is_asked(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    document = json.loads(path.read_text())
    (tmp_path / "bad.json").write_text('[{"dialogue_id": "a", "user": 3}]')
    document["experiments"][1]["metrics"] = ["no_such_module:metric"]
    document["experiments"][2] |= {"dataset_path": "bad.json", "client": "nowhere:Client"}
    path.write_text(json.dumps(document))
    said = shell.run(path)
    assert (said.code, said.out) == (2, "")
    assert "error: 2 of 3 experiments cannot run, so none begins:" in said.err
    assert "a2: metrics: cannot import 'no_such_module'" in said.err
    assert "b1: client: cannot import 'nowhere'" in said.err
    assert "b1: " + str(tmp_path / "bad.json") + ":1" in said.err
    assert not shell.runs.exists()


def test_what_several_experiments_share_is_said_once(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    (tmp_path / "data.json").write_text("[]")
    said = shell.run(path)
    assert said.code == 2
    assert said.err.count("the dataset is empty") == 1
    assert "a1, a2, b1: " in said.err


def test_another_run_in_the_place_of_the_second_is_found_before_the_first(shell: Shell, tmp_path: Path) -> None:
    path = several(tmp_path)
    assert shell.run(path, "--select", "b1").code == 0
    said = shell.run(path, "--limit", "2")
    assert said.code == 2
    assert "b1: " in said.err
    assert "limit: the run has none, now it is 2" in said.err
    assert [each.name for each in shell.runs.iterdir()] == ["b1"]


def test_a_key_that_is_missing_is_told_before_the_first_experiment(shell: Shell, tmp_path: Path) -> None:
    said = shell("run", "--config", several(tmp_path), "--output-dir", shell.runs, "--mode", "live")
    assert said.code == 2
    assert "a1, a2, b1: live mode needs ANTHROPIC_API_KEY" in said.err


def test_a_bad_manifest_is_told_with_every_place(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("experiment_id: a/b\nmodel: m\nmax_tokens: many\ndataset_pth: x\n")
    said = shell.run(path)
    assert (said.code, said.out) == (2, "")
    assert all(f"bad.yaml:{place}" in said.err for place in ("1:", "3:", "4:"))
    assert "did you mean" in said.err
    assert not shell.runs.exists()


def test_a_missing_manifest_is_told(shell: Shell, tmp_path: Path) -> None:
    said = shell.run(tmp_path / "missing.yaml")
    assert said.code == 2
    assert "missing.yaml: cannot read the manifest: No such file" in said.err
    assert "hint: profiler init writes a sample to begin with" in said.err


def test_a_manifest_of_nearly_that_name_is_guessed(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path)
    said = shell.run(path.with_suffix(".yml"))
    assert f"hint: did you mean '{path}'?" in said.err
    assert f"hint: name the file in it: {path}\n" in shell.run(tmp_path).err


def test_a_changed_manifest_is_refused_until_fresh(shell: Shell, tmp_path: Path) -> None:
    shell.run(manifest(tmp_path))
    refused = shell.run(manifest(tmp_path, model="other"))
    assert refused.code == 2
    assert "model: the run has 'm', now it is 'other'" in refused.err
    assert "hint: " in refused.err
    assert shell.run(manifest(tmp_path, model="other"), "--fresh").code == 0
    assert len(list(shell.runs.glob("one.old-*"))) == 1


def test_a_warning_of_the_manifest_is_told_unless_quiet(shell: Shell, tmp_path: Path) -> None:
    path = manifest(tmp_path, temperature=0.5, top_p=0.5)
    warned = shell("validate", "--config", path)
    assert warned.code == 0
    loud = shell.run(path)
    assert loud.code == 0
    told = [line for line in warned.err.splitlines() if line]
    assert all(line in loud.err for line in told)
    assert shell.run(path, "--quiet").err == ""


@pytest.mark.parametrize(
    ("asked", "environ", "mode"),
    [
        ("auto", {}, "mock"),
        ("auto", {"ANTHROPIC_API_KEY": ""}, "mock"),
        ("auto", {"ANTHROPIC_API_KEY": "k"}, "live"),
        ("auto", {"ANTHROPIC_AUTH_TOKEN": "t"}, "mock"),
        ("mock", {"ANTHROPIC_API_KEY": "k"}, "mock"),
        ("live", {}, "live"),
    ],
)
def test_auto_is_live_if_and_only_if_a_key_is_set(asked: str, environ: dict[str, str], mode: str) -> None:
    assert choose_mode(asked, environ) == mode


def test_a_key_under_another_name_is_told(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_APIKEY", "k")

    for said in (shell.run(manifest(tmp_path)).err, shell("doctor").out):
        assert "ANTHROPIC_APIKEY is" in said
        assert "ANTHROPIC_API_KEY" in said


def test_an_address_with_a_part_too_many_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Experiment(experiment_id="e", model="m", max_tokens=1, dataset_path=Path("d"), base_url="https://gate/v1/")

    [hint] = hints("live", [asked, asked], {"ANTHROPIC_API_KEY": "k"})

    assert (
        hint
        == "hint: base_url: https://gate/v1 ends with /v1, which is added to it: requests go to https://gate/v1/v1/messages"
    )
    assert list(hints("mock", [asked], {})) == []


def test_a_model_that_is_probably_mistyped_is_told_before_it_is_asked() -> None:
    def hinted(model: str, mode: Mode = "live", **more: Any) -> list[str]:
        asked = Experiment(experiment_id="e", model=model, max_tokens=1, dataset_path=Path("d"), **more)
        return list(hints(mode, [asked, asked], {"ANTHROPIC_API_KEY": "k"}))

    wanted = "hint: nobody here knows the model 'claude-hiaku-4-5'; did you mean 'claude-haiku-4-5'?"
    assert hinted("claude-hiaku-4-5") == [wanted]
    assert hinted("claude-haiku-4-5") == hinted("my-own") == []
    assert hinted("claude-hiaku-4-5", mode="mock") == hinted("claude-hiaku-4-5", client="mine:Client") == []
    assert hinted("claude-hiaku-4-5", prices=Prices(input_per_million=1, output_per_million=1)) == []
