"""Episodes, graded runs of many, what is kept of them, and regrading."""
