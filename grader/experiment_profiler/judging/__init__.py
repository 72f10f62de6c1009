"""From the files of a box to findings and a verdict."""
