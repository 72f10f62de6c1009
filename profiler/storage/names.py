"""The names of the files in a run directory, for all who open one."""

from __future__ import annotations

import re
from typing import Final

REQUESTS: Final = "requests.jsonl"
RESPONSES: Final = "responses.jsonl"
SUMMARY: Final = "summary.json"
SCORES: Final = "scores.jsonl"
STATUS: Final = "status.json"  # only there while the run goes on
JOURNAL: Final = "journal.jsonl"  # like the ledger, only there while the run is unfinished
LEDGER: Final = "ledger.dat"
FLEET: Final = "fleet"  # only there while several processes share the run
TABLE: Final = f"{FLEET}/table.json"
KNOWN_ANSWERS: Final = "known-answers.sqlite"  # of earlier runs, for the processes that take them over
COMMITTED: Final = "committed.json"
INHERITED: Final = "inherited.json"
ASIDE: Final = ".old-"  # stands between the name of a run that `--fresh` moved aside and the time of that
MOVED_ASIDE: Final = re.compile(r"\.old-\d{8}T\d{6}(-\d+)?$")
