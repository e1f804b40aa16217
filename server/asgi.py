"""`hypercorn --worker-class trio server.asgi:app`."""

from __future__ import annotations

from .loading import loading_server

with loading_server():
    from . import config, listener
    from .application import Application

# hypercorn imports this module in its worker, before it serves: from here on its trio worker is ours.
listener.install()

app = Application(config.load, alone=True)
