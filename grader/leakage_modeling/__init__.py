"""Judges the task leakage_modeling: checks in order, graded runs and calibration."""
