"""Starting: where the server listens, and one line when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from server.listener import Listener, install, run
from server.listener.errors import StartupFailed
from server.listener.lifespan import GuardedLifespan
from server.listener.listener import is_loopback
from server.listener.sockets import allow_open_files, bind
from tests.listener.servers import PATIENCE, ROOT, Kind, serving

OURS: list[Kind] = ["guarded", "embedded"]
WHY = {
    "fail": "storage: the disk is full really",
    "raise": "The application failed to start: RuntimeError: no database anywhere",
}


async def test_stock_hypercorn_prints_a_traceback_for_a_refusal_to_start() -> None:
    """If upstream has cured it, our cure may go."""
    async with serving("stock", ready=False, LIFESPAN="fail") as server:
        await server.exit_code()

    assert any("Traceback" in line for line in server.lines)


@pytest.mark.parametrize("how", WHY)
@pytest.mark.parametrize("kind", OURS)
async def test_an_application_that_cannot_start_says_so_in_one_line(kind: Kind, how: str) -> None:
    """An operator has to find the reason, not to search for it."""
    async with serving(kind, ready=False, LIFESPAN=how) as server:
        code = await server.exit_code()

    assert server.lines == [WHY[how]]
    # hypercorn's parent exits 0 whatever happened to its worker.
    assert code == (1 if kind == "embedded" else 0)


async def test_an_application_without_a_lifespan_is_served() -> None:
    """The ASGI specification allows it."""
    async with serving("embedded", LIFESPAN="none") as server:
        assert await server.get("/") == "hello"


WAITING = "waiting for the predecessor"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", OURS)
async def test_a_signal_ends_a_server_that_is_still_starting(kind: Kind, number: signal.Signals) -> None:
    """It may be waiting for a predecessor, and whoever signals it has changed their mind."""
    async with serving(kind, ready=False, begun=WAITING, LIFESPAN="wait") as server:
        os.killpg(server.process.pid, number)

        assert await server.exit_code() == 0
    assert server.lines == [WAITING]


async def test_hypercorns_parent_ends_a_worker_that_is_still_starting() -> None:
    """It tells its workers by the trigger alone."""
    async with serving("guarded", ready=False, begun=WAITING, LIFESPAN="wait") as server:
        server.signal(signal.SIGTERM)

        assert await server.exit_code() == 0
    assert server.lines == [WAITING]


async def never_starting(scope: Any, receive: Any, send: Any) -> None:
    await trio.sleep_forever()


async def test_whoever_waits_for_the_start_hears_that_it_will_not_come() -> None:
    """Returning would be trio's error about a task status, and no orderly end."""
    served: Any = never_starting
    stop = trio.Event()
    stop.set()
    serve = partial(run, served, bind=["127.0.0.1:0"], shutdown_trigger=stop.wait)

    async def start() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)

    with trio.fail_after(PATIENCE), pytest.raises(BaseExceptionGroup) as caught:
        await start()

    [ending] = caught.value.exceptions
    assert isinstance(ending, SystemExit)
    assert ending.code is None


@pytest.mark.parametrize("needed", [119, 121])
async def test_an_application_has_two_minutes_to_start(
    needed: float, autojump_clock: trio.testing.MockClock
) -> None:
    """By design it waits up to one for its predecessor to finish, which is all that hypercorn allows."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep(needed)
        await send({"type": "lifespan.startup.complete"})
        await trio.sleep_forever()

    served: Any = slow
    lifespan = GuardedLifespan(wrap_app(served, 0, "asgi"), Config(), {})
    failure = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifespan.handle_lifespan)
        try:
            await lifespan.start()
        except StartupFailed as error:
            failure = str(error)
        nursery.cancel_scope.cancel()

    assert failure == (None if needed < 120 else "The application did not start within 120 s")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:99999", "Cannot listen on 127.0.0.1:99999: bind(): port must be 0-65535."),
        ("192.0.2.1:80", "Cannot listen on 192.0.2.1:80: Cannot assign requested address"),
        ("unix:/nowhere/at/all", "Cannot listen on unix:/nowhere/at/all: No such file or directory"),
    ],
)
async def test_an_address_that_cannot_be_had_is_named_in_one_line(address: str, why: str) -> None:
    """The usual mistake of a first start."""
    async with serving("embedded", bind=address, ready=False) as server:
        assert await server.exit_code() == 1

    assert server.lines == [why]


async def test_an_address_in_use_is_named_in_one_line() -> None:
    """The usual mistake of a second start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with serving("embedded", bind=address, ready=False) as server:
            assert await server.exit_code() == 1

    assert server.lines == [f"Cannot listen on {address}: Address already in use"]


async def test_a_missing_certificate_is_named_in_one_line() -> None:
    """It is read before anything is started."""
    async with serving("embedded", ready=False, CERTIFICATE="/nowhere.pem") as server:
        assert await server.exit_code() == 1

    assert server.lines == ["Cannot use the certificate /nowhere.pem: No such file or directory"]


@pytest.mark.parametrize("kind", OURS)
async def test_an_application_knows_where_it_listens_before_anybody_can_connect(kind: Kind) -> None:
    """Whether anonymous access is sensible depends on it."""
    async with serving(kind) as server:
        assert f"loopback True 127.0.0.1:{server.port}" in server.lines


def config(*addresses: str) -> Config:
    made = Config()
    made.bind = list(addresses)
    return made


@pytest.mark.parametrize(
    ("addresses", "loopback"),
    [
        (["127.0.0.1:0"], True),
        (["127.0.0.1:0", "127.0.0.2:0"], True),
        (["unix:{tmp}/socket"], True),
        (["127.0.0.1:0", "unix:{tmp}/socket"], True),
        (["0.0.0.0:0"], False),
        (["127.0.0.1:0", "0.0.0.0:0"], False),
        (["localhost:0"], True),
    ],
)
def test_loopback_is_judged_from_the_sockets(addresses: list[str], loopback: bool, tmp_path: Path) -> None:
    """A name, or a file descriptor handed over by systemd, says nothing."""
    bound = bind(config(*(address.format(tmp=tmp_path) for address in addresses)), None)
    try:
        assert bound.loopback_only is loopback
        assert len(bound.addresses) == len(addresses)
        assert not any(address.endswith(":0") for address in bound.addresses)
    finally:
        bound.close()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("a name", False),
    ],
)
def test_only_addresses_of_this_machine_alone_are_loopback(host: str, loopback: bool) -> None:
    """An address judged too kindly opens an anonymous server to a network."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("given", ["certfile", "keyfile"])
def test_half_of_what_tls_needs_is_refused(given: str) -> None:
    """Served in the clear, nobody would notice."""
    half = config("127.0.0.1:0")
    setattr(half, given, "localhost.pem")

    with pytest.raises(StartupFailed, match="both a certificate and its key"):
        bind(half, None)


def test_quic_is_refused() -> None:
    """It would come in beside every guard."""
    quic = config("127.0.0.1:0")
    sockets = quic.create_sockets()
    sockets.quic_sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    with pytest.raises(StartupFailed, match="QUIC is not served"):
        bind(quic, sockets)


async def test_termination_may_be_asked_for_twice() -> None:
    """A signal and a REST call may come together."""
    listener = Listener(("127.0.0.1:0",), True)
    listener.terminate()
    listener.terminate()

    with trio.fail_after(1):
        await listener.wait_terminating()
    assert not listener.draining.is_set()


def test_a_limit_of_connections_is_never_above_what_files_allow() -> None:
    """accept(2) failing for want of a descriptor helps nobody."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 500));"
        "import server.telemetry; from server.listener.sockets import allow_open_files;"
        "print(allow_open_files(10_000))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert int(done.stdout) == 500 - 256
    # Once, for the operator who wonders why peers are refused.
    assert done.stderr == "too few open files are allowed files=500 connections=244 wanted=10000\n"


def test_a_limit_of_connections_that_fits_is_not_talked_about(caplog: pytest.LogCaptureFixture) -> None:
    """A warning at every start would soon be read by nobody."""
    assert allow_open_files(1) == 1
    assert not caplog.records


def test_installing_twice_changes_nothing() -> None:
    """An application's module may be imported by its tests as well."""
    code = (
        "import hypercorn.trio.run as r; from server.listener import install, serve; install(); install();"
        "assert r.worker_serve is serve"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert callable(install)
