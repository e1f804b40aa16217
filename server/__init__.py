"""Triologue: a chat server for bots and people, built as actors on trio.

The map of the rooms stands in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
