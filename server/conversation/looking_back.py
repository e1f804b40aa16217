"""What a pipeline is told of a conversation: from memory, and from the store what memory has let go of."""

from __future__ import annotations

import structlog
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef
from server.chat import ConversationKey, Message, StoreFailing, Transcript, Turn
from server.messages import ReadMessages, StorageMessage

from .state import Waiting

log: FilteringBoundLogger = structlog.get_logger(__name__)

# How long the store may take to show some messages.
PATIENCE = 5.0


@frozen
class LookingBack:
    """Makes turns. `context` is how many messages a pipeline may look back at."""

    key: ConversationKey
    transcript: Transcript
    storage: ActorRef[StorageMessage]
    context: int

    async def turn(self, waiting: Waiting, said: str) -> Turn:
        """The turn to answer *waiting*, of whose reply *said* was said already."""
        message = waiting.message
        again = waiting.question.again
        return Turn(
            message=message,
            history=await self._before(message) if again else self.transcript.before(message),
            sender=message.sender,
            pipeline_uuid=self.key.pipeline,
            session_type=self.key.session_type,
            session_id=self.key.session_id,
            so_far=said,
        )

    async def message(self, message_id: int) -> Message | None:
        """That message: whole, as the store has it; from memory, maybe shortened, if the store fails.

        `None` if it can't be had.
        """
        read = ReadMessages(self.key, 1, before=message_id + 1, after=message_id - 1, alternatives=True)
        try:
            found = await self.storage.ask(read, timeout=PATIENCE)
        except (StoreFailing, ActorError) as error:
            log.warning("a message can't be read", conversation=self.key, error=error)
            return next((kept for kept in self.transcript.messages() if kept.id == message_id), None)
        return found[0] if found else None

    async def _before(self, message: Message) -> tuple[Message, ...]:
        """What was said before *message*, and nothing of what came later: it may be long ago."""
        history = tuple(kept for kept in self.transcript.messages() if kept.id < message.id)
        if history and history[0].id == 1:
            return history
        try:
            return await self.storage.ask(
                ReadMessages(self.key, self.context, before=message.id), timeout=PATIENCE
            )
        except (StoreFailing, ActorError):
            log.warning("an answer lacks some of its history", conversation=self.key)
            return history
