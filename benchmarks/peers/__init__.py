"""Programs that all do the same work, each in a process of its own: `python -m benchmarks.peers.NAME LEGS`.

They read the same dialogues, ask the same server and write the same answers, and print how long that took. Ours is one
of them. Programs with packages that this project does not depend on run in `.venv-peers`, which has only the pins of
requirements.txt beside this file. So the code that they share (`legs`) uses the standard library alone.
"""
