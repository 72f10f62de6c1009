"""The commands of the grader: their options, what they do, and their tables."""
