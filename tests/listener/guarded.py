"""`apps.app` as Triologue's own `server/asgi.py` would be served: importing it installs the guard."""

from server.listener import install
from tests.listener.apps import app

install()

__all__ = ["app"]
