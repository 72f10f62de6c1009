"""What a model sees and does: the two tasks, their tools and staging, and the sandbox that grader and tasks both need."""
