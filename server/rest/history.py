"""What was said in a conversation, and forgetting it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import trio
from quart import Blueprint, Response, request

from actors import ActorDied, ActorRef, RecipientStopped
from server.chat import ConversationKey
from server.messages import (
    DirectoryMessage,
    Find,
    Open,
    PipelineInfo,
    ReadMessages,
    ResetHistory,
    StorageMessage,
)
from server.protocol import BadOpening, CloseCode, check_session, encode, message_data

from .problems import ok, problem
from .stretch import NAMES, BadStretch, Stretch, read_stretch

PATIENCE = 10.0
ATTEMPTS = 3
# How many may be read side by side: what they hold meanwhile is not bounded by their number alone.
READERS = 8


def history(
    storage: ActorRef[StorageMessage],
    directory: ActorRef[DirectoryMessage],
    pipelines: Mapping[str, PipelineInfo],
) -> Blueprint:
    """The routes over the messages of a conversation, whether it is live or not."""
    blueprint = Blueprint("history", __name__, url_prefix="/api/v1/pipelines/<uuid>/ws")
    turn = trio.CapacityLimiter(READERS)

    def key_of(uuid: str, session_type: str) -> ConversationKey:
        if uuid not in pipelines:
            raise BadOpening("Pipeline not found", "not_found", CloseCode.NOT_FOUND)
        opening = check_session(session_type, request.args.get("session_id"))
        return ConversationKey(uuid, opening.session_type, opening.session_id)

    @blueprint.errorhandler(BadOpening)
    async def bad_address(error: BadOpening) -> Response:
        return problem(404 if error.code == "not_found" else 400, error.code, error.text)

    @blueprint.errorhandler(BadStretch)
    async def bad_stretch(error: BadStretch) -> Response:
        return problem(400, "bad_request", str(error))

    @blueprint.get("/messages/<session_type>")
    async def list_messages(uuid: str, session_type: str) -> Response:
        key, stretch = key_of(uuid, session_type), Stretch.parse(request.args)
        encoded = []
        async with turn:
            read = await read_stretch(storage, key, stretch)
            for message in read.messages:
                encoded.append(orjson.Fragment(encode(message_data(message))))
                # A message may have megabytes, and others wait for the loop.
                await trio.lowlevel.checkpoint()
        data: dict[str, object] = {"messages": encoded}
        if NAMES & request.args.keys():  # else it is asked as in the document, and answered so
            data["more"] = read.more
        return ok(data)

    @blueprint.post("/reset/<session_type>")
    async def reset(uuid: str, session_type: str) -> Response:
        key = key_of(uuid, session_type)
        if await is_anything_there(key):
            await forget(key)
        return ok({"message": "Session reset successfully"})

    async def is_anything_there(key: ConversationKey) -> bool:
        """Whether a reset has to be done: one of a conversation that never was must not begin it."""
        # A live one may have nothing but a running reply to a message that was recalled.
        if await directory.ask(Find(key), timeout=PATIENCE) is not None:
            return True
        messages = await storage.ask(ReadMessages(key, limit=1, alternatives=True), timeout=PATIENCE)
        return len(messages) > 0

    async def forget(key: ConversationKey) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            conversation = await directory.ask(Open(key), timeout=PATIENCE)
            try:
                return await conversation.ask(ResetHistory(), timeout=PATIENCE)
            except (RecipientStopped, ActorDied):
                # It left for want of use just then, or crashed. Done twice, a reset is as good as once.
                if attempt == ATTEMPTS:
                    raise

    return blueprint
