"""Policies that never read the data dictionary: how far a fixed script gets with rows and names alone.

They model as well as the careful policy, and differ in the columns that they dare to use. From difficulty 1 on none of
them may pass more often than luck allows; `grader.leakage_modeling.calibration.measure` shows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from task_kit.leakage_modeling.agents.craft import BLIND_NOTES, BLIND_TABLES, HEAD, TAIL

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A blind policy. `choice` is code that decides which columns are dropped; it can use `ranked`, `strong` and the
    tables."""

    name: str
    says: str
    choice: str

    def code(self, *, luck: int = 0) -> str:
        return "\n".join([f"luck = {luck}", BLIND_TABLES, self.choice, BLIND_NOTES, HEAD, "pipeline = careful()", TAIL])


BLIND_POLICIES = (
    Blind(name="takes_everything", says="every column but rates by category and constants", choice=""),
    Blind(name="drops_what_tells_much", says="drops what tells much alone", choice="dropped = strong"),
    Blind(
        name="drops_suspicious_names",
        says="drops columns whose names sound late",
        choice="""
import re
late = re.compile("leak|future|final|after|late|post|end|clos|outcome|status|code|flag|rate|share|mean|level|notice|repeat|arrears")
dropped = [name for name in columns if late.search(name)]
""",
    ),
    Blind(
        name="drops_what_changes",
        says="of what tells much, drops the four whose link to the other columns changes most from train to test",
        choice="""
def plain(frame):
    parts = [frame[name].fillna(train_df[name].mean()).rename(name) for name in numbers]
    for word in words:
        parts += [(frame[word] == value).astype(float).rename(f"{word}={value}") for value in sorted(train_df[word].unique())[:12]]
    return pd.concat(parts, axis=1).astype(float)


left, right = plain(train_df), plain(test_df)
centre, unit = left.mean(), left.std() + 1e-9
left, right = (left - centre) / unit, (right - centre) / unit


def loosened(name):
    own = [column for column in left if column == name or column.startswith(name + "=")]
    one, other = left.drop(columns=own).to_numpy(), right.drop(columns=own).to_numpy()
    worst = -np.inf
    for column in own:
        weights = np.linalg.solve(one.T @ one + 20 * np.eye(one.shape[1]), one.T @ left[column].to_numpy())
        linked = [np.corrcoef(rows @ weights, frame[column])[0, 1] for rows, frame in ((one, left), (other, right))]
        worst = max(worst, linked[0] - linked[1])
    return worst


dropped = sorted(strong, key=loosened, reverse=True)[:4]
""",
    ),
    Blind(
        name="keeps_the_weaker_three",
        says="of what tells much, keeps the three that tell least",
        choice="dropped = strong[:4]",
    ),
    Blind(
        name="tosses_coins",
        says="of what tells much, keeps three at random: as good as can be without the dictionary",
        choice="dropped = list(np.random.default_rng(luck).permutation(strong)[:4])",
    ),
)


def learnt(weights: Mapping[str, float]) -> Blind:
    """A policy that drops the four columns most like late columns of other worlds, where `weights` were learnt."""
    return Blind(
        name="learnt_from_other_worlds",
        says="of what tells much, drops the four that are most like the late columns of 200 other worlds",
        choice=f"weights = {dict(weights)!r}\n{FEATURES}\ndropped = sorted(strong, key=lateness, reverse=True)[:4]",
    )


FEATURES = """
def marks(name):
    values = train_df[name]
    kind = "text" if name in words else "whole" if name in whole else "number"
    found = {"kind:" + kind: 1.0, "tells": told_by(name), "place": list(train_df).index(name) / train_df.shape[1],
             "values": float(np.log(values.nunique()))}
    if name in words:
        shift = abs(values.value_counts(normalize=True) - test_df[name].value_counts(normalize=True)).sum()
    else:
        shift = abs(values.mean() - test_df[name].mean()) / (values.std() + 1e-9)
    found["shift"] = float(shift)
    return found | {"name:" + part: 1.0 for part in name.split("_")} | {"whole:" + name: 1.0}


def lateness(name):
    return sum(weights.get(mark, 0.0) * value for mark, value in marks(name).items())
"""
