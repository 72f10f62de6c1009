"""Programs that all do the same work, each in a process of its own: `python -m benchmarks.peers.NAME LEGS`.

They read the same dialogues, ask the same server and write the same answers; how long that took is what they say on
stdout. Ours is one of them. Those that this project does not depend on run in `.venv-peers`, which holds the pins of
requirements.txt beside this file and nothing of ours, so what they share (`legs`) needs the standard library alone.
"""
