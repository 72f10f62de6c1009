"""Episodes one step at a time, for training loops. `grader.tasks` is what they import."""
