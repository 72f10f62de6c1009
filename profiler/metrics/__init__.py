"""Metrics and their intervals, the reduction of all outcomes, and the shape of summary.json."""
