"""Judges the experiment profiler (task A): worlds, boxes, checks, graded runs, audit."""
