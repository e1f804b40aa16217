"""A store that has seen everything."""

from __future__ import annotations

from datetime import timedelta

from server.chat import Component, Image, Plain
from server.storage import SqlStore
from tests.conformance.places import START
from tests.conformance.saying import THERE, again, begin, do, edit, end, post, read, recall, reset, save

SECRET = "only for who may read it"
PICTURE = "data:image/png;base64,AAAA"
ODD = "NUL \0, right to left \u202e\u05d0, beyond \U0001f642, quotes \" ' \\ and\na line"


def fill(store: SqlStore) -> None:
    """Say, edit, recall, answer, answer again, read, reset and trim; leave a question and an open reply."""
    picture: tuple[Component, ...] = (Plain("look"), Image(base64=PICTURE))
    do(store, post("to be trimmed", at=START - timedelta(days=9)))
    do(store, post(SECRET, client_msg_id="one\0", scope="ann"))
    do(store, post(ODD, reply_to=2))
    do(store, begin(1))
    do(store, end(4, "first answer", usage={"tokens": 3}))
    do(store, edit(2, f"{SECRET}, edited"))
    do(store, read(4, by="bob"))
    do(store, read(2, by="ann"))
    do(store, begin(2))
    do(store, end(5, "second answer"))
    do(store, recall(3))
    do(store, again(2))
    do(store, begin(2))
    do(store, end(6, "third answer"))
    do(store, post("and who waits"))
    do(store, post(picture))
    do(store, begin(7))
    do(store, save(9, "half an ans"))
    do(store, post("forgotten", key=THERE))
    do(store, begin(1, key=THERE))
    do(store, end(2, "as well", key=THERE))
    do(store, reset(key=THERE))
    do(store, post("remembered", key=THERE))
    store.trim(before=START - timedelta(days=1), keep=None)
