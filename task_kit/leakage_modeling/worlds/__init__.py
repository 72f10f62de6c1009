"""Worlds drawn from a seed: columns, laws, rows, and the dictionary an agent is told."""
