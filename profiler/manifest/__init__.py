"""Reads a YAML manifest and the environment into checked experiments."""
