"""Conversations: one actor for each live one, and the directory that finds them."""

from .actor import Conversation
from .allowance import Allowance
from .directory import Directory

__all__ = ["Allowance", "Conversation", "Directory"]
