"""Who may look inside the server."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rest.admin.guard import Asker, is_loopback_host, refusal

LOCAL = Asker(loopback_only=True, target="/metrics", hosts=["127.0.0.1:8000"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:8000",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:",
        "127.255.255.254:65535",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:80",
        "[0000::0001]",
    ],
)
def test_loopback_names_are_this_machine(host: str) -> None:
    """What an operator types, in each spelling that can mean nothing else."""
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        # A resolver may look these up anywhere.
        "localhost.",
        "localhost.localdomain",
        "sub.localhost",
        "127.0.0.1.",
        # Userinfo is no part of a host, and what follows is.
        "localhost@evil.example",
        "evil.example@localhost",
        "user:password@127.0.0.1",
        "@localhost",
        # Addresses of other machines, or of all.
        "0.0.0.0",
        "128.0.0.1",
        "192.168.0.1",
        "[::]",
        "[::2]",
        "[fe80::1%25lo]",
        # Spellings that some read as 127.0.0.1, and others as names.
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "::1",
        "::1:8000",
        "[::1",
        "[]",
        "[127.0.0.1]",
        "[localhost]",
        "[::1]evil.example",
        "[::1]:8000:9000",
        # No ports.
        "localhost:port",
        "localhost:-1",
        "localhost:８０",
        "localhost:80 ",
        "localhost:999999",
        "localhost:80:80",
        # No hosts.
        "localhost/",
        "localhost#",
        "localhost?",
        "localhost,evil.example",
        "localhost evil.example",
        "http://localhost",
        "localhost\n",
        "ｌocalhost",
        "%6cocalhost",
        "127。0。0。1",
        "١٢٧.0.0.1",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """DNS rebinding makes any page this server's own; its name is what gives it away."""
    assert not is_loopback_host(host)
    assert refusal(attrs.evolve(LOCAL, hosts=[host])) is not None


def test_a_program_of_this_machine_may() -> None:
    """Such as `triologue top`, curl, or Prometheus beside the server."""
    assert refusal(LOCAL) is None


def test_nobody_may_where_others_can_connect() -> None:
    """Judged from the sockets: there are no credentials yet."""
    assert "loopback" in (refusal(attrs.evolve(LOCAL, loopback_only=False)) or "")


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["localhost", "localhost"]])
def test_a_request_names_one_host(hosts: list[str]) -> None:
    """HTTP/1.0 need not, and of two nobody knows which one the browser meant."""
    assert refusal(attrs.evolve(LOCAL, hosts=hosts)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"http_version": "1.0"},
        {"target": "http://127.0.0.1:8000/metrics"},
        {"target": "http://evil.example/metrics"},
        {"target": "*"},
        {"target": ""},
    ],
)
def test_a_request_to_a_proxy_is_refused(change: Mapping[str, str]) -> None:
    """nginx, as it comes, asks in HTTP/1.0, under the address it was told, and with no header of its own."""
    assert "proxy" in (refusal(attrs.evolve(LOCAL, **change)) or "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-forwarded",
        "x-real-ip",
        "x-original-forwarded-for",
        "x-original-host",
        "cf-connecting-ip",
        "true-client-ip",
    ],
)
def test_a_proxied_request_is_refused(name: str) -> None:
    """A proxy on this machine makes every stranger look local; it is told by name what gave it away."""
    text = refusal(attrs.evolve(LOCAL, header_names=frozenset({"host", "accept", name})))
    assert text is not None
    assert "proxy" in text
    assert name in text


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "HTTP://LOCALHOST:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_servers_own_page_may(host: str, origin: str) -> None:
    """It is as much a program of this machine as curl is."""
    assert refusal(attrs.evolve(LOCAL, hosts=[host], origins=[origin])) is None


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["https://evil.example"],
        ["http://evil.example:8000"],
        ["http://127.0.0.1"],
        ["http://127.0.0.1:3000"],
        ["https://127.0.0.1:8000"],
        ["http://localhost:8000"],
        ["http://127.0.0.1:8000/"],
        ["http://127.0.0.1:8000@evil.example"],
        ["http://user@127.0.0.1:8000"],
        ["http://127.0.0.1:8000", "http://127.0.0.1:8000"],
        ["http://127.0.0.1:8000", "https://evil.example"],
        ["http://127.0.0.1:8000, https://evil.example"],
    ],
)
def test_other_pages_may_not(origins: list[str]) -> None:
    """A page on another port of this machine is somebody else's; `null` is anybody's."""
    assert refusal(attrs.evolve(LOCAL, origins=origins)) is not None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    ("site", "admitted"),
    [("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("", False)],
)
def test_what_the_browser_says_of_the_page_counts(method: str, site: str, admitted: bool) -> None:
    """A picture, a script, a link, a form: those come without an origin, or came without one once."""
    why = refusal(attrs.evolve(LOCAL, method=method, fetch_sites=[site]))
    assert (why is None) is admitted


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        "multipart/form-data; boundary=x",
        "text/plain",
        " text/plain;charset=UTF-8",
        "text/ping",
    ],
)
def test_a_form_begins_nothing(content_type: str) -> None:
    """An old browser sends it across sites without a word of where it came from."""
    form = attrs.evolve(LOCAL, method="POST", content_types=[content_type])
    assert refusal(form) is not None
    assert refusal(attrs.evolve(form, content_types=["application/json", content_type])) is not None
    assert refusal(attrs.evolve(form, content_types=["application/json"])) is None
    assert refusal(attrs.evolve(form, method="GET")) is None


@given(st.text(alphabet="localhst127.0:[]@#/%x ") | st.text())
def test_only_names_of_this_machine_pass(host: str) -> None:
    """Whatever comes, it is an answer, and the same for every case of the letters."""
    if is_loopback_host(host):
        name = host.lower().rpartition("]")[0].lstrip("[") or host.lower().partition(":")[0]
        assert name == "localhost" or name.startswith("127.") or name.strip("0:") == "1"
        assert is_loopback_host(host.upper())
