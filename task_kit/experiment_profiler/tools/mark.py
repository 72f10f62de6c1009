"""What is added to the end of a prepared answer: here nothing.

Where a submission is graded, this file differs: each process has marks of its own, which stand in no other file. They are
a function of what the client is asked, so an answer that nobody asked for is told from one that the client gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dataset import Sample


def mark(sample: Sample) -> str:
    return ""
