"""Answers of an actor that will not do what it was asked."""

from __future__ import annotations


class Refusal(Exception):
    """The request is declined, not failed; `retry` says whether the same may succeed later."""

    code = "unavailable"
    text = "Not possible right now"
    retry = True


class Busy(Refusal):
    """The conversation has as many unanswered messages as it may."""

    code = "busy"
    text = "Too many messages are waiting for an answer"


class Draining(Refusal):
    """The server is about to restart."""

    code = "restarting"
    text = "The server is restarting"


class Full(Refusal):
    """The server has as many connections or conversations as it may."""

    code = "full"
    text = "The server is full"
