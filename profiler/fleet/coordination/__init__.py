"""Hands ranges out to workers, takes back what lost ones held, and tells how far the run is."""
