"""A stand-in for an OpenAI-compatible API: answers like an old therapist, word by word.

    python examples/openai_upstream.py --port 9000

then, in triologue.toml:

    [[pipelines]]
    name = "Eliza"
    kind = "openai"
    base_url = "http://127.0.0.1:9000/v1"
    model = "eliza"

Needs the standard library and trio. Speaks real `chat/completions`: server-sent events with `"stream": true`,
one JSON object without, token counts for `stream_options`, errors as OpenAI words them. With `--port 0` the
system chooses a port; the first line on standard output tells it. A message that contains `!slow`, `!fail`,
`!busy` or `!cut` makes trouble of that kind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import trio

MOST_HEAD = 64 * 1024
MOST_BODY = 32 * 1024 * 1024
MIRROR = {"i": "you", "me": "you", "my": "your", "am": "are", "you": "I", "your": "my", "mine": "yours"}
ANSWERS = [
    (r"\b(?:hello|hi|hey|hallo)\b", "Hello. What is on your mind today?"),
    (r"\bi need (.+)", "Why do you need {0}? Would it really help you?"),
    (r"\bi am (.+)", "How long have you been {0}, and how do you feel about it?"),
    (r"\bi (?:feel|think) (.+)", "Do you often feel {0}? Tell me when it began."),
    (r"\bbecause (.+)", "Is that the real reason? What else could it be?"),
    (r"\[image\]", "That picture says more than you think. What do you see in it?"),
    (r"\?\s*$", "Why do you ask that? What would an answer change for you?"),
    (r"(.+)", "You say: {0}. Please go on, I am listening."),
]
ids = count(1)


def answer_to(text: str) -> str:
    """What a therapist of 1966 would say."""
    for pattern, answer in ANSWERS:
        if found := re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            said = [
                " ".join(MIRROR.get(word.lower(), word) for word in group.split()) for group in found.groups()
            ]
            return answer.format(*(part.rstrip(".!?") for part in said))
    return "Please go on."


def words(text: str) -> Iterator[str]:
    """The words of *text*, each with the white space after it."""
    return (match.group() for match in re.finditer(r"\S+\s*", text))


def last_message(request: dict[str, Any]) -> str:
    """The text of the newest message, pictures as `[Image]`."""
    content = request["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else "[Image]" for part in content)


class Connection:
    """One client's connection, from which any number of requests come."""

    def __init__(self, stream: trio.SocketStream, delay: float) -> None:
        self.stream = stream
        self.delay = delay
        self.buffer = bytearray()

    async def serve(self) -> None:
        try:
            while (request := await self.next_request()) is not None:
                await self.answer(*request)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            print("the client hung up", flush=True)
        except ValueError:
            await self.error(400, "this request could not be read")

    async def next_request(self) -> tuple[str, str, bytes] | None:
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > MOST_HEAD or not await self.receive():
                return None
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        method, target, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        size = int(headers.get("content-length", "0"))
        if not 0 <= size <= MOST_BODY:
            raise ValueError("too large")
        if headers.get("expect", "").lower() == "100-continue":
            await self.stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self.buffer) < size:
            if not await self.receive():
                return None
        body = bytes(self.buffer[:size])
        del self.buffer[:size]
        return method, target.partition("?")[0], body

    async def receive(self) -> bool:
        data = await self.stream.receive_some()
        self.buffer += data
        return bool(data)

    async def answer(self, method: str, path: str, body: bytes) -> None:
        if method == "GET" and path.endswith("/models"):
            await self.whole(200, {"object": "list", "data": [{"id": "eliza", "object": "model"}]})
        elif method == "POST" and path.endswith("/chat/completions"):
            await self.complete(body)
        else:
            await self.error(404, f"no such route: {method} {path}")

    async def complete(self, body: bytes) -> None:
        try:
            request = json.loads(body)
            text = last_message(request)
        except (ValueError, KeyError, IndexError, TypeError):
            await self.error(400, "`messages` must be a list that ends with the message to answer")
            return
        if "!busy" in text:
            await self.error(429, "too many requests", "Retry-After: 60\r\n")
            return
        said = answer_to(text)
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(said.split())}
        usage["total_tokens"] = sum(usage.values())
        common = {
            "id": f"chatcmpl-{next(ids)}",
            "created": int(time.time()),
            "model": request.get("model", "eliza"),
        }
        if not request.get("stream"):
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            await self.whole(
                200, {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
            )
            return
        await self.head(200, "text/event-stream", "Transfer-Encoding: chunked\r\nCache-Control: no-store\r\n")
        common["object"] = "chat.completion.chunk"
        await self.event({**common, "choices": [choice_of({"role": "assistant", "content": ""})]})
        for number, word in enumerate(words(said)):
            await self.event({**common, "choices": [choice_of({"content": word})]})
            if number == 2 and "!fail" in text:
                await self.event({"error": {"message": "the therapist is unwell", "type": "server_error"}})
                await self.stream.send_all(b"0\r\n\r\n")
                return
            if number == 2 and "!cut" in text:
                await self.stream.aclose()
                return
            await trio.sleep(self.delay * (50 if "!slow" in text else 1))
        await self.event({**common, "choices": [choice_of({}, "stop")]})
        if (request.get("stream_options") or {}).get("include_usage"):
            await self.event({**common, "choices": [], "usage": usage})
        await self.event("[DONE]")
        await self.stream.send_all(b"0\r\n\r\n")

    async def event(self, data: dict[str, Any] | str) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        event = f"data: {text}\n\n".encode()
        await self.stream.send_all(b"%x\r\n%s\r\n" % (len(event), event))

    async def whole(self, status: int, value: dict[str, Any], headers: str = "") -> None:
        body = json.dumps(value).encode()
        await self.head(status, "application/json", f"Content-Length: {len(body)}\r\n{headers}")
        await self.stream.send_all(body)

    async def error(self, status: int, text: str, headers: str = "") -> None:
        error = {"message": text, "type": "invalid_request_error", "param": None, "code": None}
        await self.whole(status, {"error": error}, headers)

    async def head(self, status: int, content_type: str, headers: str) -> None:
        await self.stream.send_all(
            f"HTTP/1.1 {status} -\r\nContent-Type: {content_type}\r\n{headers}\r\n".encode()
        )


def choice_of(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """One choice of a chunk."""
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


async def handle(stream: trio.SocketStream, delay: float) -> None:
    async with stream:
        await Connection(stream, delay).serve()


async def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for an OpenAI-compatible API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0: let the system choose")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds between two words")
    options = parser.parse_args()
    listeners = await trio.open_tcp_listeners(options.port, host=options.host)
    print(f"http://{options.host}:{listeners[0].socket.getsockname()[1]}/v1", flush=True)
    await trio.serve_listeners(partial(handle, delay=options.delay), listeners)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(main)
