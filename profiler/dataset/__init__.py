"""Reads a dataset file into dialogues."""
