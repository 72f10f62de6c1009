"""What the columns are called, what each is for, and what the data dictionary says about it.

Comes in: a difficulty and a random generator. Goes out: `Columns`. Knows nothing of values, labels or the law.

At difficulties 0 and 1 the names are those of the classic task and give the leaks away. From 2 on they come from one of
several stories and only the dictionary tells when a column is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

    from task_kit.leakage_modeling.worlds.settings import Settings

TARGET = "target"
NEUTRAL_FROM = 2  # the difficulty from which on names say nothing
GROUPED_FROM = 3
AMOUNTS = (0, 1)  # the numeric columns that hold amounts of money when names are neutral


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The names by role; a role that a world does not have is None."""

    numeric: tuple[str, ...]
    low: str  # a category of a few values
    high: str  # a category that has many values from difficulty 2 on
    group: str | None  # rows of one group share what no column shows
    month: str | None
    future_signal: str | None
    global_mean: str | None
    category_rate: str | None
    meaning: dict[str, str]  # name: what the dictionary says

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.numeric, self.low, self.high, *(name for name in (self.group, self.month) if name))

    @property
    def leaks(self) -> tuple[str, ...]:
        return tuple(name for name in (self.future_signal, self.global_mean, self.category_rate) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Names and meanings, in the order of the fields of `Columns`."""

    outcome: str
    numeric: dict[str, str]  # amounts first
    low: tuple[str, str]
    high: tuple[str, str]
    group: tuple[str, str]
    month: tuple[str, str]
    future_signal: tuple[str, str]
    global_mean: tuple[str, str]
    category_rate: tuple[str, str]


STORIES = (
    Story(
        outcome="whether a loan was in arrears twelve months after it was paid out",
        numeric={
            "amount": "what was paid out, in euros",
            "income": "yearly income on the application form, in euros",
            "age_score": "how long the applicant has been a customer, standardised by the branch",
            "usage": "share of the credit line in use on the day of application, in points",
            "enquiries": "index of enquiries at other lenders before the application",
        },
        low=("channel", "how the application came in"),
        high=("branch", "the branch that handled the application"),
        group=("household", "households may take several loans; the ones to be scored are all new to us"),
        month=("month", "month of the application, counted from the start of the records"),
        future_signal=("contact_index", "how often the servicing team got in touch, filled in when the year was over"),
        global_mean=("book_level", "share of loans in arrears in the whole book, from the year-end report"),
        category_rate=("channel_level", "share of loans in arrears by channel, from the year-end report"),
    ),
    Story(
        outcome="whether a subscriber left within the quarter",
        numeric={
            "spend": "what was billed in the quarter before, in euros",
            "device_value": "list price of the device, in euros",
            "tenure_score": "standardised time since the contract began",
            "traffic": "index of data used in the quarter before",
            "calls": "index of calls made in the quarter before",
        },
        low=("plan", "the tariff on the first day of the quarter"),
        high=("shop", "the shop that sold the contract"),
        group=("account", "accounts may hold several lines; the ones to be scored are all new to us"),
        month=("period", "month in which the quarter began, counted from the start of the records"),
        future_signal=("final_traffic", "index of data used from the first to the last day of the quarter"),
        global_mean=("base_rate", "share of all subscribers who left, as reported after the quarter had closed"),
        category_rate=("plan_rate", "the same share by tariff, as reported after the quarter had closed"),
    ),
    Story(
        outcome="whether a parcel was delivered late",
        numeric={
            "declared_value": "value on the customs form, in euros",
            "freight": "price of the transport, in euros",
            "distance": "index of the distance by road",
            "load": "index of how full the depot was when the parcel came in",
            "weather": "forecast of the day before, as an index",
        },
        low=("service", "the service that was booked"),
        high=("depot", "the depot that took the parcel in"),
        group=("sender", "senders may post several parcels; the ones to be scored are all new to us"),
        month=("month_no", "month in which the parcel came in, counted from the start of the records"),
        future_signal=(
            "scan_gap",
            "index of the time between the last two scans, complete once the parcel is delivered",
        ),
        global_mean=("network_share", "share of late parcels in the whole network, from the audit that followed"),
        category_rate=("service_share", "the same share by service, from the audit that followed"),
    ),
)

CLASSIC = Columns(
    numeric=("num_0", "num_1", "num_2", "num_3", "num_4"),
    low="cat0",
    high="cat1",
    group=None,
    month=None,
    future_signal="leak_future_signal",
    global_mean="leak_global_target_mean",
    category_rate="leak_cat0_rate_full",
    meaning={
        **{f"num_{i}": "a measurement, known when the prediction is made" for i in range(5)},
        "cat0": "a category, known when the prediction is made",
        "cat1": "a category, known when the prediction is made",
        "leak_future_signal": "a measurement taken after the outcome",
        "leak_global_target_mean": "mean of the outcome over all rows, later ones included",
        "leak_cat0_rate_full": "mean of the outcome by cat0 over all rows, later ones included",
    },
)


def draw_columns(draw: Generator, settings: Settings) -> tuple[Columns, str]:
    """The columns, and in words what `target` says."""
    if settings.difficulty < NEUTRAL_FROM:
        return _switched(CLASSIC, settings), "a binary outcome"
    story = STORIES[draw.integers(len(STORIES))]
    return _switched(_named(story, grouped=settings.difficulty >= GROUPED_FROM), settings), story.outcome


def _named(story: Story, *, grouped: bool) -> Columns:
    group, month = (story.group[0], story.month[0]) if grouped else (None, None)
    pairs = (story.low, story.high, story.group, story.month)
    leaks = (story.future_signal, story.global_mean, story.category_rate)
    return Columns(
        numeric=tuple(story.numeric),
        low=story.low[0],
        high=story.high[0],
        group=group,
        month=month,
        future_signal=story.future_signal[0],
        global_mean=story.global_mean[0],
        category_rate=story.category_rate[0],
        meaning=story.numeric | dict((*pairs, *leaks)),
    )


def _switched(columns: Columns, settings: Settings) -> Columns:
    """Without the leaks that the settings switch off."""
    return Columns(
        numeric=columns.numeric,
        low=columns.low,
        high=columns.high,
        group=columns.group,
        month=columns.month,
        future_signal=columns.future_signal if settings.leak_future_signal else None,
        global_mean=columns.global_mean if settings.leak_global_target_mean else None,
        category_rate=columns.category_rate if settings.leak_cat0_rate_full else None,
        meaning=columns.meaning,
    )
