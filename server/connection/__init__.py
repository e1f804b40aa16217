"""Sockets: the door that accepts them, and one actor for each."""

from .acceptor import Acceptor
from .actor import Connection, Connections
from .wire import Greeting

__all__ = ["Acceptor", "Connection", "Connections", "Greeting"]
