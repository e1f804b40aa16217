"""Chat as pure data: components, messages, turns, transcripts.

No trio, clock, randomness or I/O in here: time and ids come in as arguments, so every rule of a
conversation can be tested as a function.
"""

from .components import (
    At,
    AtAll,
    Component,
    Face,
    File,
    Forward,
    ForwardNode,
    Image,
    Plain,
    Quote,
    Source,
    Unknown,
    Voice,
    weight_of,
)
from .model import ConversationKey, FinishReason, Message, Role, Sender, SessionType, Turn
from .text import text_of
from .transcript import Limits, OpenReply, Transcript

__all__ = [
    "At",
    "AtAll",
    "Component",
    "ConversationKey",
    "Face",
    "File",
    "FinishReason",
    "Forward",
    "ForwardNode",
    "Image",
    "Limits",
    "Message",
    "OpenReply",
    "Plain",
    "Quote",
    "Role",
    "Sender",
    "SessionType",
    "Source",
    "Transcript",
    "Turn",
    "Unknown",
    "Voice",
    "text_of",
    "weight_of",
]
