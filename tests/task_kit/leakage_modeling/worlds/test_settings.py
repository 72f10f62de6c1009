from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from profiler.core.errors import ManifestError
from task_kit.leakage_modeling.worlds.settings import REGRET_LIMITS, Settings, load_settings, override

SHIPPED = Path("configs/leakage_modeling.yaml")


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_are_those_of_the_classic_task() -> None:
    defaults = Settings()

    assert (defaults.threshold, defaults.num_runs, defaults.model) == (0.9471, 10, "claude-haiku-4-5")
    assert (defaults.max_steps, defaults.max_tokens, defaults.max_stdout_chars) == (20, 1000, 8000)
    assert (defaults.train_rows, defaults.test_rows) == (800, 200)
    assert defaults.leak_future_signal
    assert defaults.leak_global_target_mean
    assert defaults.leak_cat0_rate_full


def test_the_shipped_file_shows_every_setting_at_its_default() -> None:
    assert load_settings(SHIPPED) == Settings()
    assert all(f"\n{name}: " in "\n" + SHIPPED.read_text() for name in Settings.__struct_fields__)


def test_what_is_given_by_name_stands_above_the_file(tmp_path: Path) -> None:
    found = load_settings(written(tmp_path, "difficulty: 1\nmax_steps: 5"), difficulty=3, max_steps=None)

    assert (found.difficulty, found.max_steps) == (3, 5)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "# nothing\n")) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: m\ndificulty: 2", r"settings.yaml:2:1: .*'dificulty'[\s\S]*did you mean 'difficulty'"),
        ("model: m\ndifficulty: 4", r"settings.yaml:2:13: difficulty: .*3"),
        ("difficulty: 1\ngrading: auroc", r"settings.yaml:2:10: grading: "),
        ("difficulty: 1\ndifficulty: 2", r"settings.yaml:2:1: "),
        ("max_stdout_chars: 300001", r"settings.yaml:1:19: max_stdout_chars: .*300000"),
        ("- 1", r"settings.yaml:1:1: "),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        load_settings(written(tmp_path, text))


def test_an_override_has_to_keep_the_bounds() -> None:
    with pytest.raises(msgspec.ValidationError, match="difficulty"):
        override(Settings(), difficulty=9)


def test_the_limit_on_regret_follows_the_difficulty_unless_it_is_given() -> None:
    assert [Settings(difficulty=d).regret_limit for d in range(4)] == list(REGRET_LIMITS)
    assert Settings(difficulty=2, max_regret=0.5).regret_limit == 0.5
