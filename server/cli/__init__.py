"""The command line: one module for each subcommand, imported only when it is the one asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from server import __version__
from server.config import BUILT_IN_PIPELINE


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (default: the process's own arguments) asks; the exit status."""
    arguments = _parser().parse_args(argv)
    status = 0
    try:
        # Lazily: `chat` need not wait for hypercorn and quart to be imported.
        status = import_module(f".{arguments.command}", __name__).run(arguments)
    except* KeyboardInterrupt:  # trio's nurseries wrap it in a group
        status = 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="triologue", description="A chat server for bots and people.")
    parser.add_argument("--version", action="version", version=f"triologue {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server", description="Run the server.")
    serve.add_argument(
        "--config", type=Path, metavar="PATH", help="the configuration (default: triologue.toml)"
    )
    serve.add_argument("--bind", metavar="HOST:PORT", help="where to listen (default: 127.0.0.1:8000)")

    chat = commands.add_parser(
        "chat", help="chat in the terminal", description="Chat in the terminal. Ctrl-D or /quit leaves."
    )
    chat.add_argument(
        "pipeline",
        nargs="?",
        default=BUILT_IN_PIPELINE.uuid,
        metavar="PIPELINE_UUID",
        help="whom to chat with (default: the built-in echo)",
    )
    chat.add_argument(
        "--url", type=_url, default="http://127.0.0.1:8000", help="the server (default: %(default)s)"
    )
    chat.add_argument("--session-type", choices=["person", "group"], default="person")
    chat.add_argument("--session-id", help="which conversation (default: the shared one)")
    chat.add_argument("--message", metavar="TEXT", help="say this, print the reply, and leave")
    return parser


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as http://127.0.0.1:8000")
    return text
