"""Prices, the price list, and the spending cap."""
