"""Talk to a pipeline as LangBot's document describes, with nothing but the `websockets` library.

    python examples/test_websocket_client.py 00000000-0000-4000-8000-000000000001
    python examples/test_websocket_client.py 00000000-0000-4000-8000-000000000001 --multi 5

Exits with 0 only if every connection got the final piece of its reply.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException


def say(number: int, text: str) -> None:
    """Print *text* behind its connection's number, if there are several."""
    print(f"[{number}] {text}" if number else text, flush=True)


def describe(frame: dict[str, Any]) -> str:
    """*frame* as a person would tell it."""
    data = frame.get("data") or {}
    match frame.get("type"):
        case "connected":
            return (
                f"connected as {frame['connection_id']} to {frame['pipeline_uuid']} ({frame['session_type']})"
            )
        case "user_message":
            return f"message {data['id']}: {data['content']}"
        case "response":
            return f"reply {data['id']}{' (final)' if data['is_final'] else ''}: {data['content']}"
        case "broadcast":
            return f"broadcast: {frame['message']}"
        case "error":
            return f"error: {frame['message']}"
        case kind:
            return f"{kind} {frame.get('timestamp', '')}"


async def wait_for(websocket: ClientConnection, number: int, wanted: str) -> dict[str, Any]:
    """Print every frame up to the first of type *wanted*, and return that one."""
    async for text in websocket:
        frame: dict[str, Any] = json.loads(text)
        say(number, describe(frame))
        if frame.get("type") == wanted:
            return frame
    raise EOFError("the server closed the connection")


async def talk(number: int, url: str, text: str) -> str:
    """Connect, say *text*, follow the reply until it is final, ping, and leave. The whole reply."""
    async with connect(url, max_size=2**26) as websocket:
        me = (await wait_for(websocket, number, "connected"))["connection_id"]

        message = {"type": "message", "message": [{"type": "Plain", "text": text}]}
        await websocket.send(json.dumps(message))
        while True:
            # In a shared conversation, replies to others pass by as well: ours names our connection.
            data = (await wait_for(websocket, number, "response"))["data"]
            if data["is_final"] and data.get("connection_id", me) == me:
                break

        await websocket.send(json.dumps({"type": "ping"}))
        await wait_for(websocket, number, "pong")
        await websocket.send(json.dumps({"type": "disconnect"}))
        await websocket.wait_closed()
        return str(data["content"])


async def run(arguments: argparse.Namespace) -> int:
    """Talk over as many connections as asked for, all at once. How many failed."""
    query = {"session_type": arguments.session_type}
    if arguments.session_id:
        query["session_id"] = arguments.session_id
    url = f"ws://{arguments.host}/api/v1/pipelines/{arguments.pipeline_uuid}/ws/connect?{urlencode(query)}"
    several = arguments.multi > 1

    async def one(number: int) -> bool:
        text = f"{arguments.message} from connection {number}" if several else arguments.message
        try:
            reply = await asyncio.wait_for(talk(number, url, text), arguments.timeout)
        except (OSError, EOFError, TimeoutError, WebSocketException) as error:
            say(number, f"failed: {error or type(error).__name__}")
            return False
        say(number, f"got: {reply}")
        return True

    done = await asyncio.gather(
        *(one(number) for number in (range(1, arguments.multi + 1) if several else [0]))
    )
    if several:
        print(f"{sum(done)} of {len(done)} connections got their final reply")
    return done.count(False)


def main() -> int:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(description="Talk to a pipeline of a running server.")
    parser.add_argument("pipeline_uuid")
    parser.add_argument("--session-type", choices=["person", "group"], default="person")
    parser.add_argument("--session-id", help="which conversation (default: the shared one)")
    parser.add_argument("--multi", type=int, default=1, metavar="N", help="so many connections at once")
    parser.add_argument("--host", default="127.0.0.1:8000", help="host:port (default: %(default)s)")
    parser.add_argument("--message", default="Hello", metavar="TEXT")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for each connection")
    return 1 if asyncio.run(run(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
