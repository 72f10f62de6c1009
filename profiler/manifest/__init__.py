"""From a YAML file and the environment to checked experiments."""
