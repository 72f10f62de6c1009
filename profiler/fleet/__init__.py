"""One run by many processes, on one machine or several."""
