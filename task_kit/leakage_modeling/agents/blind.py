"""Policies that never read the data dictionary: what a fixed script can make of rows and names alone.

They model as well as the careful policy does and differ in which columns they dare to use. From difficulty 1 on none of them
may pass more often than luck; `grader.leakage_modeling.calibration.measure` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from task_kit.leakage_modeling.agents.craft import BLIND, BLIND_NOTES, HEAD, TAIL

if TYPE_CHECKING:
    from collections.abc import Mapping


BLIND_TABLES = BLIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """`choice`: code that says which columns are dropped; `ranked`, `strong` and the tables are there."""

    name: str
    says: str
    choice: str

    def code(self, *, luck: int = 0) -> str:
        return "\n".join([f"luck = {luck}", BLIND, self.choice, BLIND_NOTES, HEAD, "pipeline = careful()", TAIL])


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
from sklearn.ensemble import RandomForestRegressor

def plain(frame):
    found = {}
    for name in [*numbers, *words]:
        found[name] = frame[name].fillna(-999.0) if name in numbers else pd.Categorical(
            frame[name], categories=sorted(train_df[name].unique())).codes
    return pd.DataFrame(found).astype(float)

left, right = plain(train_df), plain(test_df)
def loosened(name):
    rest = [other for other in left if other != name]
    forest = RandomForestRegressor(10, min_samples_leaf=5, random_state=0, oob_score=True).fit(left[rest], left[name])
    missed = np.mean((forest.predict(right[rest]) - right[name]) ** 2) / right[name].var()
    return missed - (1 - forest.oob_score_)

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
    """Drops the four that looked most like late columns in other worlds; `weights` come from those worlds."""
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
