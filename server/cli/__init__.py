"""The command line: one module for each subcommand, imported only when it is the one asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from server import __version__
from server.config import BUILT_IN_PIPELINE
from server.loading import loading


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (default: the process's own arguments) asks; the exit status."""
    arguments = _parser().parse_args(argv)
    status = 0
    try:
        # Lazily: `chat` need not wait for hypercorn and quart to be imported.
        with loading():
            command = import_module(f".{arguments.command}", __name__)
        status = command.run(arguments)
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
        "chat",
        help="chat in the terminal",
        description="Chat in the terminal. /stop ends a running reply; /edit TEXT, /recall and /regenerate "
        "are about your newest message; Ctrl-D or /quit leaves.",
    )
    chat.add_argument(
        "pipeline",
        nargs="?",
        default=BUILT_IN_PIPELINE.uuid,
        metavar="PIPELINE_UUID",
        help="whom to chat with (default: the built-in echo)",
    )
    _add_url(chat)
    chat.add_argument("--session-type", choices=["person", "group"], default="person")
    chat.add_argument("--session-id", help="which conversation (default: the shared one)")
    chat.add_argument("--message", metavar="TEXT", help="say this, print the reply, and leave")
    _add_db(commands)
    _add_keys(commands)
    _add_looking(commands)
    return parser


def _add_db(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands for the store of the conversations."""
    db = commands.add_parser(
        "db",
        help="copy, move and mend stored conversations",
        description="Copy, move and mend stored conversations. A server may run during export and backup.",
    )
    actions = db.add_subparsers(dest="action", required=True, metavar="ACTION")
    upgrade = actions.add_parser("upgrade", help="bring the tables up to date, as each start does")
    epoch = actions.add_parser("new-epoch", help="after a copy was put back by hand: let no old cursor match")
    export = actions.add_parser("export", help="write every conversation, in clear, as lines of JSON")
    export.add_argument("path", type=Path, metavar="FILE", help="the file, or - for standard output")
    import_ = actions.add_parser("import", help="add the conversations of an export")
    import_.add_argument("path", type=Path, metavar="FILE", help="the file, or - for standard input")
    import_.add_argument("--replace", action="store_true", help="have those of the same name go")
    backup = actions.add_parser("backup", help="copy everything, as sealed as it is, to a SQLite file")
    backup.add_argument("path", type=Path, metavar="DEST", help="the copy")
    restore = actions.add_parser("restore", help="have a backup take the place of what there is")
    restore.add_argument("path", type=Path, metavar="FILE", help="the copy")
    restore.add_argument("--force", action="store_true", help="have the conversations go that are there")
    for action in (export, backup):
        action.add_argument("--force", action="store_true", help="overwrite what is there")
    for action in (upgrade, epoch, export, import_, backup, restore):
        action.add_argument(
            "--config", type=Path, metavar="PATH", help="the configuration (default: triologue.toml)"
        )


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands for what encryption needs; all of them work beside a running server."""
    keys = commands.add_parser(
        "keys",
        help="manage the keys of encrypted messages",
        description="Manage the keys of encrypted messages. A running server takes up each change.",
    )
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key file, or put a new current key into it")
    new.add_argument("path", type=Path, metavar="PATH", help="the key file")
    rotate = actions.add_parser("rotate", help="make a new master key, and have it wrap all data keys")
    rotate.add_argument(
        "--finish", action="store_true", help="make none: only rewrap what older ones still wrap"
    )
    retire = actions.add_parser("retire", help="take a master key that wraps nothing out of the key file")
    retire.add_argument("id", metavar="ID", help="eight hex digits; `status` shows them")
    backup = actions.add_parser("backup", help="copy the key store, whose keys stay wrapped, to a file")
    backup.add_argument("path", type=Path, metavar="DEST", help="the copy")
    backup.add_argument("--force", action="store_true", help="overwrite what is there")
    restore = actions.add_parser("restore", help="put back the data keys that a copy has and the store lacks")
    restore.add_argument("path", type=Path, metavar="FILE", help="the copy")
    status = actions.add_parser("status", help="show the master keys, and what they wrap")
    for action in (rotate, retire, backup, restore, status):
        action.add_argument(
            "--config", type=Path, metavar="PATH", help="the configuration (default: triologue.toml)"
        )


def _add_looking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that look into a running server."""
    tree = commands.add_parser(
        "tree",
        help="show a running server's actors and tasks",
        description="Show the actors of a running server in trio's tree of tasks, and who waits for whom.",
    )
    tree.add_argument("address", nargs="?", metavar="ADDRESS", help="show this actor and what is below it")
    tree.add_argument("--stacks", action="store_true", help="show where each task waits")
    tree.add_argument(
        "--stack", metavar="ADDRESS", help="show this actor's attributes, latest messages, and whole stacks"
    )
    tree.add_argument("--tasks", action="store_true", help="show trio's own tree")
    tree.add_argument("--gone", action="store_true", help="show also the actors gone lately")
    tree.add_argument("--all", action="store_true", help="fold nothing, however alike")

    top = commands.add_parser(
        "top",
        help="watch a running server's actors",
        description="Watch the actors of a running server: a table that is always new.",
    )
    top.add_argument("--sort", choices=["mailbox", "busy", "age", "handled", "name"], default="busy")
    top.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="default: 1")
    top.add_argument("--once", action="store_true", help="show what happens within one interval, and leave")

    trace = commands.add_parser(
        "trace",
        help="record what a running server does",
        description="Record what every actor and task of a running server does, for ui.perfetto.dev.",
    )
    trace.add_argument("file", nargs="?", type=Path, metavar="FILE", help="tell of this trace; record none")
    trace.add_argument("--seconds", type=_seconds, default=5.0, help="for how long (default: 5)")
    trace.add_argument("-o", "--output", type=Path, metavar="PATH", help="default: trace.json")
    trace.add_argument("--force", action="store_true", help="overwrite what is there")
    trace.add_argument("--follow", type=int, metavar="ORIGIN", help="show all that came of this origin")

    stacks = commands.add_parser(
        "stacks",
        help="show where a running server's tasks wait",
        description="Show the stacks of all tasks and threads of a running server, equal ones once.",
    )
    for command in (tree, top, trace, stacks):
        _add_url(command)
        command.add_argument("--json", action="store_true", help="print the data as it is")


def _add_url(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", type=_url, default="http://127.0.0.1:8000", help="the server (default: %(default)s)"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.05 to 3600")
    return seconds


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as http://127.0.0.1:8000")
    return text
