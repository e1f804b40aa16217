"""What a pipeline, and the parent of all pipelines, is told."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from actors import ActorRef, Question
from server.chat import Turn

from .conversation import ConversationMessage


class PipelineMessage:
    """What a pipeline is told."""


@frozen
class PipelineInfo:
    """A configured pipeline.

    Attributes:
        total_timeout: The longest a reply may take, in seconds.
        unheard: Seconds after which a reply is stopped that nobody listens to; `None` if it goes on.
        resumes: Whether it can go on with a reply that another process began.
    """

    uuid: str
    name: str
    total_timeout: float
    ref: ActorRef[PipelineMessage]
    unheard: float | None = None
    resumes: bool = False


class PipelinesMessage:
    """What the parent of all pipelines is told."""


@frozen(eq=False)
class AwaitPipelines(PipelinesMessage, Question[PipelinesMessage, None]):
    """Answered once every pipeline can be found."""


@frozen(eq=False)
class WriteReply(PipelineMessage, Question[PipelineMessage, ActorRef[Any]]):
    """Answer *turn*, telling *reply_to* what comes; answered with the actor that writes the reply."""

    turn: Turn
    reply_id: int
    reply_to: ActorRef[ConversationMessage]
