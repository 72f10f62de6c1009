"""Judges the task experiment_profiler: worlds, boxes, checks, graded runs and audit."""
