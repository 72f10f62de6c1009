"""One grading, many of them, and graded again."""
