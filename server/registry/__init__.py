"""The registry: the one owner of all connection state."""

from .actor import Entry, Registry

__all__ = ["Entry", "Registry"]
