"""What was said in a conversation, and forgetting it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from quart import Blueprint, Response, request

from actors import ActorRef
from server.chat import ConversationKey
from server.messages import ConversationMessage, DirectoryMessage, Find, GetMessages, PipelineInfo, Reset
from server.protocol import BadOpening, CloseCode, check_session, encode, message_data

from .problems import ok, problem

PATIENCE = 10.0
NEWEST = 100


def history(directory: ActorRef[DirectoryMessage], pipelines: Mapping[str, PipelineInfo]) -> Blueprint:
    """The routes over the messages of a conversation."""
    blueprint = Blueprint("history", __name__, url_prefix="/api/v1/pipelines/<uuid>/ws")

    def key_of(uuid: str, session_type: str) -> ConversationKey:
        if uuid not in pipelines:
            raise BadOpening("Pipeline not found", "not_found", CloseCode.NOT_FOUND)
        opening = check_session(session_type, request.args.get("session_id"))
        return ConversationKey(uuid, opening.session_type, opening.session_id)

    async def find(key: ConversationKey) -> ActorRef[ConversationMessage] | None:
        return await directory.ask(Find(key), timeout=PATIENCE)

    @blueprint.errorhandler(BadOpening)
    async def bad_address(error: BadOpening) -> Response:
        return problem(404 if error.code == "not_found" else 400, error.code, error.text)

    @blueprint.get("/messages/<session_type>")
    async def list_messages(uuid: str, session_type: str) -> Response:
        conversation = await find(key_of(uuid, session_type))
        if conversation is None:
            return ok({"messages": []})
        messages = await conversation.ask(GetMessages(NEWEST), timeout=PATIENCE)
        return ok({"messages": [orjson.Fragment(encode(message_data(message))) for message in messages]})

    @blueprint.post("/reset/<session_type>")
    async def reset(uuid: str, session_type: str) -> Response:
        conversation = await find(key_of(uuid, session_type))
        if conversation is not None:
            await conversation.ask(Reset(), timeout=PATIENCE)
        return ok({"message": "Session reset successfully"})

    return blueprint
