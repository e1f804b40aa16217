"""Which web pages may talk to the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol import OriginPolicy, normal_origin


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("http://example.org", "http://example.org"),
        ("HTTP://EXAMPLE.org", "http://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://example.org:80", "https://example.org:80"),
        ("http://example.org:8080", "http://example.org:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[::1]", "http://[::1]"),
        ("http://[FE80::1]", "http://[fe80::1]"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("null", None),
        ("", None),
        ("example.org", None),
        ("//example.org", None),
        ("http://", None),
        ("http:example.org", None),
        ("file://", None),
        ("http://user@example.org", None),
        ("http://user:password@example.org", None),
        ("http://@example.org", None),
        ("http://example.org@evil.example", None),
        ("http://example.org/", None),
        ("http://example.org/path", None),
        ("http://example.org?query", None),
        ("http://example.org#fragment", None),
        ("http://example.org:port", None),
        ("http://example.org:99999", None),
        ("http://example.org:-1", None),
        ("http://[::1", None),
        ("http://[nonsense]", None),
        ("http://a.example http://b.example", None),
        ("http://a.example, http://b.example", None),
    ],
)
def test_normal_origin(origin: str, normal: str | None) -> None:
    """Two spellings of an origin (RFC 6454) are one; what is no origin is none."""
    assert normal_origin(origin) == normal


LISTED = OriginPolicy(frozenset({"https://app.example", "http://dev.example:3000"}))


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        # its own
        ("https://chat.example", True),
        ("https://chat.example:443", True),
        ("HTTPS://CHAT.example", True),
        ("http://chat.example", False),
        ("https://chat.example:8443", False),
        ("https://chat.example.evil.example", False),
        ("https://evilchat.example", False),
        ("https://sub.chat.example", False),
        ("https://chat.example.", False),
        # listed
        ("https://app.example", True),
        ("https://app.example:443", True),
        ("http://dev.example:3000", True),
        ("http://app.example", False),
        ("http://dev.example", False),
        ("https://sub.app.example", False),
        ("https://app.example:3000", False),
        # loopback, while not bound to it
        ("http://localhost", False),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]", False),
        # none at all
        ("null", False),
        ("", False),
        ("*", False),
        ("https://user@chat.example", False),
        ("https://chat.example@evil.example", False),
        ("https://chat.example/", False),
        ("https://app.example/path", False),
    ],
)
def test_a_public_server_admits_its_own_pages_and_listed_ones(origin: str, admitted: bool) -> None:
    """A browser sends its user's rights along with any page's request; the origin tells whose page it is."""
    assert LISTED.admits(origin, scheme="https", host="chat.example", loopback_only=False) is admitted


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://localhost", True),
        ("http://chat.localhost:8080", True),
        ("http://127.0.0.1", True),
        ("http://127.0.0.1:5173", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8080", True),
        ("https://app.example", True),
        ("http://0.0.0.0", False),
        ("http://192.168.0.1", False),
        ("http://[::2]", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://evillocalhost", False),
        ("http://example.org", False),
        ("null", False),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "rebound.example", ""])
def test_a_server_on_loopback_admits_loopback_pages_and_listed_ones(
    origin: str, admitted: bool, host: str
) -> None:
    """A developer's page is on another port; whatever the `Host` says, a stranger's page is a stranger's."""
    assert LISTED.admits(origin, scheme="http", host=host, loopback_only=True) is admitted


def test_a_rebound_name_does_not_make_a_page_ones_own() -> None:
    """The attacker's name points at 127.0.0.1, so his page's origin equals the `Host` it sends."""
    policy = OriginPolicy()

    assert not policy.admits(
        "http://evil.example:8080", scheme="http", host="evil.example:8080", loopback_only=True
    )


@pytest.mark.parametrize(
    "host", ["", " ", "[", "a b", "chat.example@evil.example", "chat.example:x", "/", "?"]
)
def test_a_host_that_is_none_admits_nobody(host: str) -> None:
    """The header is the client's, and may be anything."""
    assert not OriginPolicy().admits("https://chat.example", scheme="https", host=host, loopback_only=False)


@given(st.text(), st.text(), st.sampled_from(["http", "https", "ws"]), st.booleans())
def test_any_headers_get_an_answer(origin: str, host: str, scheme: str, loopback_only: bool) -> None:
    """Both headers are a stranger's."""
    admitted = OriginPolicy().admits(origin, scheme=scheme, host=host, loopback_only=loopback_only)

    assert not admitted or normal_origin(origin) is not None


@given(st.text(alphabet="htps:/[]@.?#-1a\\ %\t"))
def test_a_normal_origin_is_its_own_normal_form(origin: str) -> None:
    """It is compared by equality."""
    normal = normal_origin(origin)

    assert normal is None or normal_origin(normal) == normal
