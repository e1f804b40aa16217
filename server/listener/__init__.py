"""The only door to hypercorn: everything that makes it safe to stand open to strangers.

    serve, run ─ sockets, lifespan          the server's life (`serve.py`)
      └─ Connection                         one socket, its barrier and its deadlines
           └─ Http1                         one request after another
                └─ HttpRequest │ WebSocket  one request each, answered by an application task

The faults that comments here number are those of hypercorn 0.18's trio worker; `tests/listener` shows each of
them on a stock hypercorn, and its cure.
"""

from .listener import Listener, ListenerLimits
from .serve import install, run, serve

__all__ = ["Listener", "ListenerLimits", "install", "run", "serve"]
