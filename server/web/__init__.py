"""The chat page, for a browser that was given nothing but the server's address.

Plain files without a build step; nothing in them is fetched from elsewhere. They run under the strictest
Content-Security-Policy, `default-src 'self'`, with `data:` and the web allowed for pictures.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_SCRIPTS = (
    "article.js",
    "backoff.js",
    "chat.js",
    "components.js",
    "composer.js",
    "conversation.js",
    "cursor.js",
    "dom.js",
    "editor.js",
    "keepsakes.js",
    "line.js",
    "outbox.js",
    "pictures.js",
    "replies.js",
    "rest.js",
    "timeline.js",
)
_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "chat.css": "text/css; charset=utf-8",
    **dict.fromkeys(_SCRIPTS, "text/javascript; charset=utf-8"),
}


def page(path: str) -> tuple[bytes, str] | None:
    """Content and content type of the file at *path* below the site's root; None for any other path.

    Only known names are looked up, so no path leads out of the package.
    """
    name = path.removeprefix("/") or "index.html"
    return (_content(name), _TYPES[name]) if name in _TYPES else None


@cache
def _content(name: str) -> bytes:
    return (files(__name__) / "static" / name).read_bytes()
