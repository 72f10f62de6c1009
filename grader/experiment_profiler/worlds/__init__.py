"""The worlds in which a submission is tried, and what is true in them."""
