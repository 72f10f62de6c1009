"""Who plays an episode: the loop around a model, its tools and transcript, scripted agents and local policies."""
