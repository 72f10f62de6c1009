"""Who plays an episode: the loop, its tools and transcript, scripted agents, local policies."""
