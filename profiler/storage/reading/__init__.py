"""Reads runs, complete or not, for whoever looks at them."""
