"""Asks every dialogue of a dataset, keeps what was asked and answered, and measures it."""
