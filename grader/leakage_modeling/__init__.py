"""Judges leakage-aware modelling: the checks in order, graded runs, calibration."""
