"""What every local policy begins and ends with, as code: its imports, the parts it is put together from, and the fit.

The code expects what `Policy.code` assigns before it: the names of columns by role, and what the data dictionary says of them.
"""

HEAD = """
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

categories = [low, high]
X, y = train_df.drop(columns="target"), train_df["target"]
one_hot = OneHotEncoder(handle_unknown="ignore")
ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def table(numbers, names):
    parts = [("numbers", scaled, numbers), ("names", one_hot, names)]
    return ColumnTransformer([part for part in parts if part[2]])


class Design(TransformerMixin, BaseEstimator):
    \"\"\"Amounts as logarithms of euros, absence as a column, squares, products, and slopes by the low category.\"\"\"

    def __init__(self, numeric=numeric, extra=(), indicators=True, products=True, slopes=True, tidy=True, frozen=None):
        self.numeric, self.extra, self.frozen = numeric, extra, frozen
        self.indicators, self.products, self.slopes, self.tidy = indicators, products, slopes, tidy

    def values(self, frame):
        found = frame[list(self.numeric)].astype(float)
        if self.tidy:
            if in_cents is not None and in_cents in found:
                found[in_cents] = found[in_cents] / np.where(frame[month] < euros_from, 100, 1)
            for name in [name for name in amounts if name in found]:
                found[name] = np.log(found[name])
        return found.to_numpy()

    def fit(self, frame, y=None):
        source = frame if self.frozen is None else self.frozen
        values = self.values(source)
        self.centre_, self.unit_ = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        self.names_ = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(source[categories])
        more = source[list(self.extra)].to_numpy(float)
        spread = more.std(axis=0)
        self.extra_centre_, self.extra_unit_ = more.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)
        return self

    def transform(self, frame):
        z = (self.values(frame) - self.centre_) / self.unit_
        absent = np.isnan(z)
        z = np.where(absent, 0.0, z)
        named = self.names_.transform(frame[categories])
        parts = [z, named]
        if self.indicators:
            parts.append(absent.astype(float))
        if self.products:
            n = z.shape[1]
            parts += [(z[:, [i]] * z[:, [j]]) for i in range(n) for j in range(i)]
            parts.append(np.where(absent, 0.0, (z**2 - 1) / 2**0.5))
        if self.slopes:
            first = named[:, : len(self.names_.categories_[0])]
            parts.append((first[:, :, None] * z[:, None, :]).reshape(len(z), -1))
        if self.extra:
            parts.append((frame[list(self.extra)].to_numpy(float) - self.extra_centre_) / self.extra_unit_)
        return np.hstack(parts)


def logistic(C=1.0):
    return LogisticRegression(C=C, max_iter=2000)


def careful(**design):
    return make_pipeline(Design(**design), logistic(C=STRENGTH))


STRENGTH = 0.3
"""

TAIL = """
pipeline.fit(X, y)
test_proba = pipeline.predict_proba(test_df)[:, 1]
"""
