"""Judges submissions to the two tasks: worlds, checks and verdicts, graded runs, audit, regrading and calibration."""
