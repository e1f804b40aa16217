"""Why a reply failed.

`str(error)` and every field may reach a log, and `said` reaches the client: none of them may hold a key,
a password, a query string, or text that an upstream chose.
"""

from __future__ import annotations


class PipelineError(Exception):
    """A reply could not be had. `said` is the one sentence that a client is shown."""

    said = "Sorry, something went wrong while answering."


class UpstreamUnavailable(PipelineError):
    """Nobody answered at the upstream's address, or it said that it can't serve now."""

    said = "Sorry, the service behind this chat is not available right now."


class UpstreamRefused(PipelineError):
    """The upstream answered with an HTTP status that refuses the request."""

    said = "Sorry, the service behind this chat refused the request."

    def __init__(self, status: int) -> None:
        super().__init__(f"the upstream answered HTTP {status}")
        self.status = status


class UpstreamBusy(PipelineError):
    """The upstream limits its rate (429), also after the configured retries."""

    said = "Sorry, the service behind this chat is busy. Please try again in a moment."


class UpstreamBroke(PipelineError):
    """The upstream's stream ended before its answer did."""

    said = "Sorry, the connection to the service behind this chat broke off."


class UpstreamGarbled(PipelineError):
    """The upstream sent what its protocol does not allow."""

    said = "Sorry, the service behind this chat gave an answer that could not be read."


class ReplyTimedOut(PipelineError):
    """The reply was silent, or took, longer than its pipeline allows."""

    said = "Sorry, the answer took too long."
