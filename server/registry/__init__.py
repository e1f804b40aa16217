"""The registry: the one owner of all connection state."""

from .actor import Registry, Table

__all__ = ["Registry", "Table"]
