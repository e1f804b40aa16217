"""`triologue serve`: the server in one process, with hypercorn's trio server in its own HTTP nursery."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from server.loading import loading_server

with loading_server():
    import trio

    from server import config, listener
    from server.application import Application
    from server.cli.output import drop_output
    from server.config import Config, ConfigError


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; the exit status."""
    environ = dict(os.environ)
    if args.bind is not None:
        environ["TRIOLOGUE_BIND"] = args.bind
    try:
        settings = config.load(args.config, environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        trio.run(_serve, settings)
    except BaseExceptionGroup as group:
        # The nursery wraps what the listener ends the program with: one line, or an exit status.
        last: BaseException = group
        while isinstance(last, BaseExceptionGroup):
            last = last.exceptions[0]
        if not isinstance(last, SystemExit):
            raise
        raise last from None
    return 0


async def _serve(settings: Config) -> None:
    async with trio.open_nursery() as http:
        urls: list[str] = await http.start(
            partial(
                listener.run,
                Application(lambda: settings, alone=True),
                bind=[settings.bind],
                certfile=_text(settings.tls.certfile),
                keyfile=_text(settings.tls.keyfile),
            ),
            name="http",
        )
        try:
            _greet(settings, urls)
        except OSError:  # a full disk, or nobody there to read it, is no reason to end
            drop_output()
        except ValueError:  # nor is a pipeline's name that standard output has no letters for
            pass


def _greet(settings: Config, urls: list[str]) -> None:
    print("Triologue is ready.", flush=True)
    for url in urls:
        print(f"  chat page   {url}/", flush=True)
    for pipeline in settings.pipelines:
        print(f"  pipeline    {pipeline.uuid}  {pipeline.name} ({pipeline.kind})", flush=True)


def _text(path: object) -> str | None:
    return None if path is None else str(path)
