"""The commands of the grader: options, calls, tables."""
