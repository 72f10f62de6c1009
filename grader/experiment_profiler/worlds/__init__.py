"""What a submission is tried in, and what is true of it."""
