"""Measures how hard the task is, and how sure that is."""
