"""What a model sees and does: the tasks, their tools and staging, and the sandbox both sides need."""
