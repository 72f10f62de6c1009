"""Text that the simulated client appends to every prepared answer: here none.

When a submission is graded, this file is replaced by one that returns a different mark in each process, computed from
what the client was asked. So the grader can tell an answer that the client gave from one that the submission took out
of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dataset import Sample


def mark(sample: Sample) -> str:
    return ""
