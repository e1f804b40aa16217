"""Why a request is declined: not a failure, and nobody's crash."""

from __future__ import annotations


class Refusal(Exception):
    """The request is declined; `retry` says whether the same may succeed later."""

    code = "unavailable"
    text = "Not possible right now"
    retry = True


class Busy(Refusal):
    """The conversation has as many unanswered messages as it may, or writes a reply that has to end first."""

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


class StoreFailing(Refusal):
    """The store can't be read or written. What was to be written may have been: trying again tells."""

    code = "store_failing"
    text = "The message could not be stored. Please try again"


class Conflict(Refusal):
    """The `client_msg_id` was used for another message."""

    code = "conflict"
    text = "This client_msg_id was used for another message"
    retry = False


class Expired(Refusal):
    """The message's `expires_at` is over."""

    code = "expired"
    text = "The message came after its expires_at"
    retry = False


class NoSuchMessage(Refusal):
    """The id names no message of the conversation, or none of the kind that was meant."""

    code = "not_found"
    text = "There is no such message"
    retry = False


class NotAllowed(Refusal):
    """Only somebody else may do that."""

    code = "forbidden"
    text = "Only its author may do that"
    retry = False


class AlreadyRecalled(Refusal):
    """The message was recalled: there is nothing left of it."""

    code = "recalled"
    text = "The message was recalled"
    retry = False
