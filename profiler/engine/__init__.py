"""Runs an experiment: workers and slots, retries and deadlines, and the story of a run from start to end."""
