"""The whole server, simulated from one seed: virtual time, sockets in memory, a disk that fails, crashes.

`docs/simulation.md` is the map. Read on in `run.py`.
"""
