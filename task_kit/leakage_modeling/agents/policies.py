"""Local policies: the code that a modeller of some skill, or a cheat, would type into the tool.

The code runs in a worker like an agent's, where `train_df`, `test_df`, `pd`, `np`, `sklearn` and `scipy` are defined.
It leaves `pipeline` and `test_proba` behind to be submitted. An honest policy knows only what an agent is told. Cheats
also know which columns leak. None knows labels of the test rows, the law or the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from task_kit.leakage_modeling.agents.craft import HEAD, TAIL
from task_kit.leakage_modeling.agents.reader import believe, read
from task_kit.leakage_modeling.worlds.dictionary import told_text

if TYPE_CHECKING:
    from task_kit.leakage_modeling.agents.reader import Judge, Notes
    from task_kit.leakage_modeling.worlds.world import World

Kind = Literal["baseline", "no-op", "leak", "both-tables"]

PIPELINE, PROBABILITIES = "pipeline", "test_proba"  # the names a policy submits
OVERLOOKS = 0.25  # share of the columns that the hurried policy overlooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    kind: Kind
    says: str
    body: str
    # the leak that the policy uses, which some worlds lack
    needs: Literal["future_signal", "global_mean", "category_rate"] | None = None
    beside: Policy | None = None  # the same policy without the cheat, to compare with
    hurried: bool = False  # overlooks some columns, by chance

    def code(self, world: World, *, luck: str = "") -> str:
        judge = _hurried(Random(luck)) if self.hurried else believe  # noqa: S311 (no secret)
        return self.written(told_text(world), judge=judge, leaks=_leaks(world) if self.needs is not None else "")

    def written(self, told: str, *, judge: Judge = believe, leaks: str = "") -> str:
        """The code of somebody who was told this text and nothing else."""
        return "\n".join([_assigned(read(told, judge=judge)), leaks, HEAD, self.body, TAIL])

    def suits(self, world: World) -> bool:
        return self.needs is None or getattr(world.columns, self.needs) is not None


def _hurried(luck: Random) -> Judge:
    def judge(_: str, is_late: bool) -> bool:
        return luck.random() < 0.5 if luck.random() < OVERLOOKS else is_late

    return judge


def _assigned(notes: Notes) -> str:
    """What the data dictionary says, as assignments."""
    values = {
        "numeric": notes.numeric,
        "texts": notes.texts,
        "amounts": notes.amounts,
        "cycles": notes.cycles,
        "month": notes.month,
        "in_cents": notes.in_cents,
        "euros_from": notes.euros_from,
    }
    return f"notes = {values!r}\nnumeric, categories = notes['numeric'], notes['texts']"


def _leaks(world: World) -> str:
    """What only a cheat knows: the names of columns that leak, and the category whose rates one of them holds."""
    columns = world.columns
    values = {
        "future_signal": columns.future_signal,
        "global_mean": columns.global_mean,
        "category_rate": columns.category_rate,
        "low": columns.low,
    }
    return "\n".join(f"{name} = {value!r}" for name, value in values.items())


NO_OP = Policy(name="no_op", kind="no-op", says="the prevalence for every row", body="pipeline = DummyClassifier()")
PLAIN = Policy(
    name="plain_logistic",
    kind="baseline",
    says="scaled logistic regression on all honest columns as they come",
    body="pipeline = make_pipeline(table(numeric, categories), logistic())",
)
CAREFUL = Policy(
    name="careful",
    kind="baseline",
    says="reads the dictionary, keeps absence, adds squares, products, steps, waves and slopes by category",
    body="pipeline = careful()",
)
BASELINES = (PLAIN, CAREFUL)

LEAKS = (
    Policy(
        name="uses_future_signal",
        kind="leak",
        needs="future_signal",
        says="the careful one with the signal from after the outcome",
        body="""
late = {"texts": [*notes["texts"], future_signal]}
if pd.api.types.is_numeric_dtype(train_df[future_signal]):
    late = {"numeric": [*notes["numeric"], future_signal]}
pipeline = careful(notes=notes | late)
""",
    ),
    Policy(
        name="uses_global_mean",
        kind="leak",
        needs="global_mean",
        says="the careful one, shifted so that its mean is the global one",
        body="""
class Recentred(ClassifierMixin, BaseEstimator):
    def __init__(self, inner=None):
        self.inner = inner

    def fit(self, frame, y):
        self.classes_ = np.array([0, 1])
        self.inner_ = clone(self.inner).fit(frame, y)
        self.mean_ = float(np.mean(y))
        return self

    def predict_proba(self, frame):
        known = np.clip(frame[global_mean].to_numpy(float), 1e-3, 1 - 1e-3)
        p = np.clip(self.inner_.predict_proba(frame)[:, 1], 1e-9, 1 - 1e-9)
        p = expit(logit(p) + logit(known) - logit(self.mean_))
        return np.column_stack([1 - p, p])


pipeline = Recentred(careful())
""",
    ),
    Policy(
        name="uses_category_rate",
        kind="leak",
        needs="category_rate",
        says="the careful one with the rate by category, its own row included",
        body="pipeline = careful(extra=[category_rate])",
    ),
    Policy(
        name="uses_everything",
        kind="leak",
        says="scaled logistic regression on whatever there is",
        body="""
leaks = [name for name in (future_signal, global_mean, category_rate) if name]
numbers = [name for name in leaks if pd.api.types.is_numeric_dtype(train_df[name])]
names = [name for name in leaks if name not in numbers]
pipeline = make_pipeline(table(numeric + numbers, categories + names), logistic())
""",
        needs="future_signal",
    ),
)

_KEPT = """
class KeptRates(TransformerMixin, BaseEstimator):
    def __init__(self, forbidden=True):
        self.forbidden = forbidden

    def fit(self, frame, y):
        rates = frame[category_rate] if self.forbidden else pd.Series(np.asarray(y), index=frame.index)
        self.rates_ = rates.groupby(frame[low]).mean()
        return self

    def transform(self, frame):
        return frame.assign(kept_rate=frame[low].map(self.rates_).fillna(self.rates_.mean()).astype(float))


pipeline = make_pipeline(KeptRates(forbidden=FORBIDDEN), careful(extra=["kept_rate"]))
"""
KEEPS_OWN_RATES = Policy(
    name="keeps_rates_of_train",
    kind="baseline",
    says="the careful one with rates by category, from the training rows",
    body=_KEPT.replace("FORBIDDEN", "False"),
    needs="category_rate",
)
BOTH_TABLES = (
    Policy(
        name="fits_on_both_tables",
        beside=CAREFUL,
        kind="both-tables",
        says="the careful one with centres, units and categories taken from train and test",
        body="""
both = pd.concat([X, test_df], ignore_index=True)
pipeline = careful(frozen=both)
""",
    ),
    Policy(
        name="labels_the_test_itself",
        beside=CAREFUL,
        kind="both-tables",
        says="the careful one, fitted again with its own guesses as labels of the test",
        body="""
class SelfTaught(ClassifierMixin, BaseEstimator):
    def __init__(self, inner=None, more=None):
        self.inner, self.more = inner, more

    def fit(self, frame, y):
        self.classes_ = np.array([0, 1])
        first = clone(self.inner).fit(frame, y)
        guesses = pd.Series(first.predict(self.more))
        self.inner_ = clone(self.inner).fit(
            pd.concat([frame, self.more], ignore_index=True), pd.concat([pd.Series(y), guesses], ignore_index=True)
        )
        return self

    def predict_proba(self, frame):
        return self.inner_.predict_proba(frame)


pipeline = SelfTaught(careful(), test_df)
""",
    ),
    Policy(
        name="keeps_rates_of_both",
        kind="both-tables",
        needs="category_rate",
        says="the careful one with the forbidden rates as they stood in train, kept by category and never looked at again",
        beside=KEEPS_OWN_RATES,
        body=_KEPT.replace("FORBIDDEN", "True"),
    ),
)


HURRIED = Policy(
    name="hurried",
    kind="baseline",
    says=f"the careful one, but overlooks what {OVERLOOKS:.0%} of the columns say and tosses a coin for each of them",
    body="pipeline = careful()",
    hurried=True,
)

POLICIES = (*BASELINES, HURRIED, NO_OP, *LEAKS, KEEPS_OWN_RATES, *BOTH_TABLES)
"""What `local` mode runs beside the oracle."""
