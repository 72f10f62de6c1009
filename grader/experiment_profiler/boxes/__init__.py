"""What lies in the boxes of a grading, and what is run in them."""
