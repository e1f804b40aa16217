"""TLS as an operator sets it up, in both ways of starting: who gets in, and who doesn't."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest
import trio
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .client import connect
from .running import ECHO, PIPELINES, ROOT, WAYS, Triologue

PATIENCE = 20.0


@frozen
class Certificate:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in PEM files."""

    certfile: Path
    keyfile: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Triologue's test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / "cert.pem", folder / "key.pem")
        made.certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        made.keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made

    @property
    def trusting(self) -> ssl.SSLContext:
        """A client that believes this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certfile))


@frozen
class Secure:
    """A running server that speaks TLS."""

    server: Triologue
    port: int
    certificate: Certificate

    def handshake(self, context: ssl.SSLContext) -> tuple[str | None, tuple[str, str, int] | None]:
        """The TLS version and the cipher that *context* gets."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return secure.version(), secure.cipher()


def start(way: str, folder: Path, certificate: Certificate, options: Sequence[str] = ()) -> Triologue:
    """A server as the documentation says it is started."""
    if way == "hypercorn":
        files = (f"--certfile={certificate.certfile}", f"--keyfile={certificate.keyfile}")
        return Triologue(way, folder, options=(*files, *options))
    tls = f'[tls]\ncertfile = "{certificate.certfile}"\nkeyfile = "{certificate.keyfile}"\n'
    return Triologue(way, folder, settings=tls + PIPELINES)


@contextmanager
def serving(
    way: str, folder: Path, certificate: Certificate, options: Sequence[str] = ()
) -> Iterator[Secure]:
    server = start(way, folder, certificate, options)
    try:
        port = int(server.wait_output(r"Running on https://127\.0\.0\.1:(\d+)")[1])
        yield Secure(server, port, certificate)
    finally:
        server.kill()


@pytest.fixture(scope="module", params=WAYS)
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    with serving(request.param, folder, Certificate.make(folder)) as running:
        yield running


async def test_a_chat_runs_over_wss(secure: Secure) -> None:
    """The same frames, and nobody between who could read them."""
    url = f"wss://127.0.0.1:{secure.port}/api/v1/pipelines/{ECHO}/ws/connect"
    async with connect(url, ssl_context=secure.certificate.trusting) as client:
        await client.say("over tls")
        frames = await client.until_final()

    assert "over tls" in frames[-1]["data"]["content"]


def test_the_page_and_rest_come_over_https(secure: Secure) -> None:
    """The page's own socket is then wss, by its own address."""
    for path, content in (("/", b"<script"), ("/api/v1/pipelines", ECHO.encode())):
        url = f"https://127.0.0.1:{secure.port}{path}"
        with urlopen(url, timeout=PATIENCE, context=secure.certificate.trusting) as answer:
            assert answer.status == 200
            assert content in answer.read()


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_the_terminal_client_trusts_what_it_is_told_to(secure: Secure, scheme: str) -> None:
    """An operator's own certificate authority, by the variable that OpenSSL knows."""
    url = f"{scheme}://127.0.0.1:{secure.port}"
    command = [sys.executable, "-m", "server", "chat", ECHO, "--url", url, "--message", "over tls"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    trusting = {**environment, "SSL_CERT_FILE": str(secure.certificate.certfile)}
    heard = subprocess.run(
        command, cwd=ROOT, env=trusting, check=True, capture_output=True, text=True, timeout=60
    )
    assert "over tls" in heard.stdout

    doubtful = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert doubtful.returncode == 1
    assert doubtful.stderr.count("\n") == 1
    assert "certificate" in doubtful.stderr


async def test_a_client_that_speaks_in_the_clear_is_refused(secure: Secure) -> None:
    """It hears no byte of HTTP: neither the page, nor a socket, nor where to go instead."""
    path = f"/api/v1/pipelines/{ECHO}/ws/connect"
    upgrade = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    for request in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", upgrade):
        heard = b""
        with trio.fail_after(PATIENCE):
            async with await trio.open_tcp_stream("127.0.0.1", secure.port) as plain:
                await plain.send_all(request)
                try:
                    async for piece in plain:
                        heard += piece
                except trio.BrokenResourceError:
                    pass  # reset, for what it had said more
        # At most TLS's own word for it: an alert.
        assert not heard or heard[:1] == b"\x15"
        assert b"HTTP" not in heard
    assert "Traceback" not in secure.server.output


def test_a_client_that_does_not_know_the_certificate_goes_away(secure: Secure) -> None:
    """The server can't make it trust; and it goes on."""
    with pytest.raises(ssl.SSLCertVerificationError):
        secure.handshake(ssl.create_default_context())
    assert secure.handshake(secure.certificate.trusting)[0] == "TLSv1.3"
    assert "Traceback" not in secure.server.output


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_spoken_is_new_enough_and_forward_secret(secure: Secure, version: ssl.TLSVersion) -> None:
    """Whoever records it today and gets the key tomorrow reads nothing."""
    context = secure.certificate.trusting
    context.minimum_version = context.maximum_version = version
    spoken, cipher = secure.handshake(context)

    assert spoken == version.name.replace("_", ".")
    assert cipher is not None
    assert cipher[0].startswith(("TLS_", "ECDHE-"))
    assert "GCM" in cipher[0] or "POLY1305" in cipher[0]


def outdated(certificate: Certificate, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks *version* and nothing newer."""
    context = certificate.trusting
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    # Without it OpenSSL itself would refuse to speak so, and the server would not be tried.
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


OUTDATED = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]


@pytest.mark.parametrize("version", OUTDATED)
def test_tls_before_1_2_is_refused(secure: Secure, version: ssl.TLSVersion) -> None:
    """It is broken (RFC 8996)."""
    with pytest.raises((ssl.SSLError, ConnectionError)) as refusal:
        secure.handshake(outdated(secure.certificate, version))
    assert re.search("protocol|version|reset", str(refusal.value), re.IGNORECASE)


@pytest.mark.parametrize("version", OUTDATED)
def test_the_outdated_client_would_get_in_where_it_is_let(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """So that it is the server that refuses it."""
    certificate = Certificate.make(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        lenient.minimum_version = version
    lenient.set_ciphers("ALL:@SECLEVEL=0")
    lenient.load_cert_chain(certificate.certfile, certificate.keyfile)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def accept() -> None:
            with (
                closing(listening.accept()[0]) as plain,
                lenient.wrap_socket(plain, server_side=True) as peer,
            ):
                peer.recv(1)

        accepting = Thread(target=accept)
        accepting.start()
        port = listening.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            outdated(certificate, version).wrap_socket(plain, server_hostname="127.0.0.1") as peer,
        ):
            assert peer.version() == version.name.replace("_", ".")
            peer.send(b"x")
        accepting.join()


def test_client_certificates_may_be_demanded(tmp_path: Path) -> None:
    """By hypercorn's own options: who has none is not listened to."""
    certificate = Certificate.make(tmp_path)
    options = ("--ca-certs", str(certificate.certfile), "--verify-mode", "CERT_REQUIRED")
    with serving("hypercorn", tmp_path, certificate, options) as running:
        url = f"https://127.0.0.1:{running.port}/api/v1/pipelines"
        with pytest.raises((ssl.SSLError, OSError)):
            urlopen(url, timeout=PATIENCE, context=certificate.trusting).close()
        known = certificate.trusting
        known.load_cert_chain(certificate.certfile, certificate.keyfile)
        with urlopen(url, timeout=PATIENCE, context=known) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("way", WAYS)
def test_a_renewed_certificate_is_taken_up_by_a_restart(way: str, tmp_path: Path) -> None:
    """Clients of before come back by themselves, as after any restart; see `docs/tls.md`."""
    certificate = Certificate.make(tmp_path)
    with serving(way, tmp_path, certificate) as before:
        before.handshake(certificate.trusting)
        before.server.terminate()
        before.server.wait_exit()
    renewed = Certificate.make(tmp_path)
    with serving(way, tmp_path, renewed) as after:
        after.handshake(renewed.trusting)


def test_a_certificate_that_can_t_be_used_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """A key that belongs to another, or no PEM at all: never a server in the clear instead."""
    mine, other = Certificate.make(tmp_path / "mine"), Certificate.make(tmp_path / "other")
    garbled = Certificate(tmp_path / "garbled.pem", mine.keyfile)
    garbled.certfile.write_text("-----BEGIN CERTIFICATE-----\nnone\n")
    for wrong in (Certificate(mine.certfile, other.keyfile), garbled):
        server = start("serve", tmp_path, wrong)
        try:
            assert server.wait_exit() != 0
            lines = [line for line in server.lines if line.strip()]
            assert len(lines) == 1, lines
            assert str(wrong.certfile) in lines[0]
        finally:
            server.kill()
