"""Episodes one step at a time, for training loops, which import `grader.tasks`."""
