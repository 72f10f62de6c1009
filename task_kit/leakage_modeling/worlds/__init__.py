"""Worlds drawn from a seed: their columns, their laws and rows, and the dictionary that an agent is told."""
