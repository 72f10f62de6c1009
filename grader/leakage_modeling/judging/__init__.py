"""The checks of a submission, in order, and the questions to its fitted pipeline."""
