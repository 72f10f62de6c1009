"""The code that local policies share: imports, parts to build a pipeline from, and the fit at the end.

It expects earlier code to have assigned which columns are used and what is known of them. Policies that read the data
dictionary get that from `reader`; `BLIND_TABLES` finds out what it can from the rows.
"""

HEAD = """
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

X, y = train_df.drop(columns="target"), train_df["target"]
one_hot = OneHotEncoder(handle_unknown="ignore")
ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def table(numbers, names):
    parts = [("numbers", scaled, numbers), ("names", one_hot, names)]
    return ColumnTransformer([part for part in parts if part[2]])


def lift(values, y):
    \"\"\"How far the values alone tell the outcomes apart: 0 not at all, 0.5 wholly.\"\"\"
    values, y = np.asarray(values, float), np.asarray(y)
    there = ~np.isnan(values)
    ranks, positive = rankdata(values[there]), y[there] == 1
    n = positive.sum()
    if n in (0, len(ranks)):
        return 0.0
    return abs((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(ranks) - n)) - 0.5)


class Design(TransformerMixin, BaseEstimator):
    \"\"\"Amounts and shares on their own scales, absence, squares, products, steps, waves, and slopes by category.

    Columns that tell much alone are taken as they are; the others are looked at together, with less weight.
    \"\"\"

    def __init__(self, notes=notes, extra=(), indicators=True, products=True, slopes=True, steps=True, tidy=True,
                 strong=0.27, weight=0.5, frozen=None):
        self.notes, self.extra, self.frozen, self.tidy = notes, extra, frozen, tidy
        self.indicators, self.products, self.slopes, self.steps = indicators, products, slopes, steps
        self.strong, self.weight = strong, weight

    def values(self, frame):
        notes = self.notes
        found = frame[notes["numeric"]].astype(float)
        if self.tidy:
            name = notes["in_cents"]
            if name in found:
                found[name] = found[name] / np.where(frame[notes["month"]] < notes["euros_from"], 100, 1)
            for name in self.logs_:
                found[name] = np.log(found[name].clip(lower=1e-9))
            for name in self.shares_:
                found[name] = logit(found[name].clip(1e-6, 1 - 1e-6))
        return found

    def fit(self, frame, y=None):
        source, notes = (frame if self.frozen is None else self.frozen), self.notes
        raw = source[notes["numeric"]].astype(float)
        self.logs_ = [name for name in notes["amounts"] if name in raw]
        self.shares_ = [name for name in raw if name not in self.logs_ and 0 < raw[name].min() and raw[name].max() < 1]
        values = self.values(source)
        self.centre_, spread = values.mean(), values.std().fillna(0.0)
        self.unit_ = spread.where(spread > 1e-9, 1.0)
        self.texts_ = list(notes["texts"])
        self.names_ = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(source[self.texts_])
        few = [name for name in self.texts_ if source[name].nunique() <= 12]
        self.few_ = [
            place for place, name in enumerate(self.names_.get_feature_names_out())
            if any(name.startswith(text + "_") for text in few)
        ]
        z = (self.values(frame) - self.centre_) / self.unit_
        self.cycles_ = {name: period for name, period in notes["cycles"].items() if name in z and self.tidy}
        self.lines_ = [name for name in z if name not in self.cycles_]
        self.weak_ = [
            name for name in self.lines_
            if frame[name].nunique() > 8 and (y is None or lift(z[name], y) < self.strong)
        ]
        more = source[list(self.extra)].to_numpy(float)
        spread = more.std(axis=0)
        self.extra_centre_, self.extra_unit_ = more.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)
        return self

    def transform(self, frame):
        values = self.values(frame)
        z = (values - self.centre_) / self.unit_
        absent = z.isna()
        z = z.fillna(0.0)
        named = self.names_.transform(frame[self.texts_])
        weak, gone, k = z[self.weak_].to_numpy(), absent[self.weak_].to_numpy(), len(self.weak_)
        parts = [z[self.lines_].to_numpy(), named]
        for name, period in self.cycles_.items():
            turned = 2 * np.pi * values[[name]].to_numpy() / period
            parts += [1.4 * np.sin(turned), 1.4 * np.cos(turned)]
        if self.indicators:
            parts.append(absent.to_numpy(float))
        if self.products:
            parts += [self.weight * weak[:, [i]] * weak[:, [j]] for i in range(k) for j in range(i)]
            parts.append(self.weight * np.where(gone, 0.0, (weak**2 - 1) / 2**0.5))
        if self.steps:
            parts += [self.weight * ((weak > edge) - 0.5) for edge in (-0.5, 0.0, 0.5)]
        if self.slopes:
            first = named[:, self.few_]
            parts.append(self.weight * (first[:, :, None] * weak[:, None, :]).reshape(len(weak), -1))
        if self.extra:
            parts.append((frame[list(self.extra)].to_numpy(float) - self.extra_centre_) / self.extra_unit_)
        return np.hstack(parts)


def logistic(C=1.0):
    return LogisticRegression(C=C, max_iter=3000)


def careful(**design):
    return make_pipeline(Design(**design), logistic(C=0.5))
"""

BLIND_TABLES = """
numbers = [name for name in train_df if name != "target" and pd.api.types.is_numeric_dtype(train_df[name])]
words = [name for name in train_df if not pd.api.types.is_numeric_dtype(train_df[name])]
words = [name for name in words if train_df[name].nunique() < 150]
told_by_words = [
    name for name in numbers if any(train_df.groupby(word)[name].nunique().max() <= 1 for word in words)
]
numbers = [name for name in numbers if name not in told_by_words]
numbers = [name for name in numbers if test_df[name].min() <= train_df[name].max()]
positive = [name for name in numbers if train_df[name].min() > 0 and train_df[name].skew() > 1]
whole = [name for name in numbers if pd.api.types.is_integer_dtype(train_df[name]) or (train_df[name] % 1 == 0).all()]
turning = {name: int(train_df[name].max()) + 1 for name in whole if train_df[name].max() in (6, 11, 23)}


def told_by(name):
    values = train_df[name]
    if name in words:
        values = values.map(train_df["target"].groupby(values).mean())
    values, y = values.to_numpy(float), train_df["target"].to_numpy()
    ranks = pd.Series(values).rank().to_numpy()
    n = y.sum()
    return abs((np.nansum(ranks[y == 1]) - n * (n + 1) / 2) / (n * (len(y) - n)) - 0.5)


columns = [*numbers, *[name for name in words if train_df[name].nunique() <= 12]]
ranked = sorted(columns, key=told_by, reverse=True)
strong = ranked[:7]
dropped = []
"""

BLIND_NOTES = """
notes = {
    "numeric": [name for name in numbers if name not in dropped],
    "texts": [name for name in words if name not in dropped],
    "amounts": [name for name in positive if name not in dropped],
    "cycles": {name: period for name, period in turning.items() if name not in dropped},
    "month": None, "in_cents": None, "euros_from": 0,
}
"""

TAIL = """
pipeline.fit(X, y)
test_proba = pipeline.predict_proba(test_df)[:, 1]
"""
