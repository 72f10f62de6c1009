"""The checks of a submission, in order, and what they ask of a fitted pipeline."""
