"""What the files of a run are called; nobody outside this package needs to know."""

from __future__ import annotations

from typing import Final

REQUESTS: Final = "requests.jsonl"
RESPONSES: Final = "responses.jsonl"
SUMMARY: Final = "summary.json"
JOURNAL: Final = "journal.jsonl"  # this and the ledger: only while the run is unfinished
LEDGER: Final = "ledger.dat"
ASIDE: Final = ".old-"  # follows the name of a run that `--fresh` moved aside
