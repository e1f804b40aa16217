"""A process that writes to the same conversations as others do, and says what it was answered."""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

from server.chat import ConversationKey
from server.storage import PlainVault, SqlStore, make_engine

from .saying import begin, end, post

KEYS = [ConversationKey("p", "group", f"s{number}") for number in range(5)]


def main(url: str, name: str, batches: int) -> None:
    store = SqlStore(make_engine(url), PlainVault())
    chance = Random(name)
    print("ready", flush=True)
    sys.stdin.readline()
    told: list[Any] = []
    for batch in range(batches):
        # Posts in one batch; their replies in the next, when others may have written between.
        text = f"{name} {batch}"
        keys = chance.sample(KEYS, 3)
        posted = store.write([post(text, key) for key in keys])
        told += [[_spell(key), one.id, one.seq, text] for key, one in zip(keys, posted, strict=True)]
        if batch % 2:
            continue
        _answer(store, keys, [one.id for one in posted], text, told)
    print(json.dumps(told))


def _answer(store: SqlStore, keys: list[ConversationKey], ids: list[int], text: str, told: list[Any]) -> None:
    begun = store.write([begin(number, key) for key, number in zip(keys, ids, strict=True)])
    ended = store.write([end(one.id, text, key) for key, one in zip(keys, begun, strict=True)])
    told += [[_spell(key), one.message.id, one.seq, text] for key, one in zip(keys, ended, strict=True)]


def _spell(key: ConversationKey) -> list[str]:
    return [key.pipeline, key.session_type, key.session_id]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
