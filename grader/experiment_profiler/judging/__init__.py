"""Judges the files that a box leaves: findings, and the verdict made of them."""
