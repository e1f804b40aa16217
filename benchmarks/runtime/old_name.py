"""Imported for what it does: gives trio the name back by which triotp knows several exceptions at once.

`trio.MultiError` is gone from trio, and triotp's helper library still asks for it: on a new trio every crash
and every cancellation in triotp would become an `AttributeError`. With the name it works as it was meant to.
"""

from __future__ import annotations

import trio

if tuple(map(int, trio.__version__.split(".")[:2])) >= (0, 25):
    vars(trio)["MultiError"] = BaseExceptionGroup
