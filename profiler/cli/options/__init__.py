"""What can be asked of each command: the options, their values and their help texts."""
