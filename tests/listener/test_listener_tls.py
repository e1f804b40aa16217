"""TLS: the same cures where the socket cannot be closed by halves."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trio

from tests.listener.raw import BINARY, TEXT, Raw, close_frame, connect, frame, upgrade
from tests.listener.servers import PATIENCE, Server, serving

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost, in one file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"),
            *("-keyout", path, "-out", path.with_suffix(".crt")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


async def secure(server: Server, certificate: Path) -> Raw:
    """A TLS connection that would rather speak HTTP/2."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = await connect(server.port)
    stream = trio.SSLStream(plain.stream, context, server_hostname="localhost", https_compatible=True)
    with trio.fail_after(PATIENCE):
        await stream.do_handshake()
    return Raw(stream)


async def secure_websocket(server: Server, certificate: Path, path: str) -> Raw:
    peer = await secure(server, certificate)
    await peer.send(upgrade(path))
    assert await peer.status() == 101
    return peer


async def test_http_2_is_not_offered(certificate: Path) -> None:
    """Its way through hypercorn has faults of its own."""
    async with (
        serving("embedded", CERTIFICATE=str(certificate)) as server,
        await secure(server, certificate) as peer,
    ):
        assert isinstance(peer.stream, trio.SSLStream)
        assert peer.stream.selected_alpn_protocol() == "http/1.1"


async def test_a_socket_lives_and_closes_over_tls(certificate: Path) -> None:
    """The peer's code reaches the application, and the end is TLS's own."""
    async with serving("embedded", CERTIFICATE=str(certificate)) as server:
        async with await secure_websocket(server, certificate, "/echo") as peer:
            with trio.fail_after(PATIENCE):
                await peer.send(frame(TEXT, "hello"))
                assert await peer.message() == "hello"
                await peer.send(close_frame(4001))
                assert await peer.close_code() == 4001
                assert await peer.end() == b""
        async with await secure(server, certificate) as asking:
            with trio.fail_after(PATIENCE):
                await asking.send(b"GET /wait?echo:4001 HTTP/1.1\r\nhost: x\r\n\r\n")
                assert await asking.status() == 200


async def test_a_refused_message_is_answered_over_tls(certificate: Path) -> None:
    """Without a close by halves the rest is taken for a while, and thrown away."""
    async with (
        serving("embedded", CERTIFICATE=str(certificate), LIMITS={"message_size": 1000}) as server,
        await secure_websocket(server, certificate, "/count") as peer,
    ):
        with trio.fail_after(PATIENCE):
            await peer.send(frame(BINARY, bytes(2**22)))
            assert await peer.close_code() == 1009
            await peer.end()


async def test_what_is_no_tls_harms_nobody(certificate: Path) -> None:
    """A port scanner says the first thing that comes to its mind."""
    async with serving("embedded", CERTIFICATE=str(certificate)) as server:
        async with await secure_websocket(server, certificate, "/echo") as witness:
            for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 100, b"\0"):
                async with await connect(server.port) as peer:
                    await peer.send(nonsense)
                await witness.send(frame(TEXT, "still there?"))
                with trio.fail_after(PATIENCE):
                    assert await witness.message() == "still there?"
        assert not any("Traceback" in line for line in server.lines)
