"""The REST routes, served by Quart-Trio. WebSockets never come here."""

from .app import Services, create_app

__all__ = ["Services", "create_app"]
