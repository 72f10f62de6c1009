"""The boxes of a grading: what lies in them, and what runs in them."""
