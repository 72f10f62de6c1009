"""Prices of models, the cost of a reply, and the spending cap."""
