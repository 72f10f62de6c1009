"""What the files of a run are called; nobody outside this package needs to know."""

from __future__ import annotations

import re
from typing import Final

REQUESTS: Final = "requests.jsonl"
RESPONSES: Final = "responses.jsonl"
SUMMARY: Final = "summary.json"
JOURNAL: Final = "journal.jsonl"  # this and the ledger: only while the run is unfinished
LEDGER: Final = "ledger.dat"
ASIDE: Final = ".old-"  # follows the name of a run that `--fresh` moved aside, and before a stamp
MOVED_ASIDE: Final = re.compile(r"\.old-\d{8}T\d{6}(-\d+)?$")
