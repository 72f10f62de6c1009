"""What judges: worlds, checks, verdicts, graded runs, audit, regrade, calibration."""
