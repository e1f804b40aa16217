"""What must hold in the end, when all is calm: in the store, in the server, and for every client."""

from __future__ import annotations

from collections import Counter

from actors import ActorSystem, State
from server.chat import ConversationKey, HistoryReset
from server.listener import Listener
from server.storage import Store

from .client import Client
from .court import Court
from .journal import Journal
from .straight_wire import StraightWire
from .truth import Annals, Truth
from .wire import Wire


def is_settled(annals: Annals) -> bool:
    """Whether every question of a conversation has its answer."""
    return not open_replies(annals) and not unanswered(annals)


def open_replies(annals: Annals) -> list[int]:
    """Replies that have begun and not ended."""
    return [number for number in annals.begun if number not in annals.ended]


def unanswered(annals: Annals) -> list[int]:
    """Users' messages that are still there and were not answered as often as they were put."""
    answers = Counter(begun.question for begun in annals.begun.values())
    return [
        number
        for number, times in annals.asked.items()
        if answers[number] < len(times) and number not in annals.recalled and times[-1] > annals.emptied
    ]


def check_store(store: Store, truth: Truth, court: Court, journal: Journal) -> None:
    """P1, P2, P3 by what the store shows."""
    for wrong in truth.wrong:
        journal.broken("P2 seqs and ids without holes", wrong)
    for key, annals in truth.annals.items():
        _check_facts(store, key, annals, journal)
        _check_once(key, annals, journal)
        _check_newest(store, key, annals, journal)
        for number in unanswered(annals):
            journal.broken("every question is answered", f"{number} in {key.session_id}")
        for number in open_replies(annals):
            journal.broken("every reply ends", f"{number} in {key.session_id}")
    for (key, _, own), (number, seq) in court.acks.items():
        _check_kept(store, key, own, number, seq, truth.of(key), journal)
    if unsettled := store.unsettled():
        journal.broken("no question is left over", f"{[key.session_id for key in unsettled]}")


def _check_facts(store: Store, key: ConversationKey, annals: Annals, journal: Journal) -> None:
    snapshot = store.load(key, epoch="none", messages=1000, after=annals.floor)
    same = (snapshot.epoch, snapshot.last_seq) == (annals.epoch, annals.last) or not annals.facts
    journal_text = f"{snapshot.epoch}.{snapshot.last_seq} for {annals.epoch}.{annals.last}"
    if not same:
        journal.broken("P1 what was committed stays", f"{key.session_id}: {journal_text}")
    read = {fact.seq: fact for fact in store.facts(key, after=annals.floor, upto=annals.last, limit=10_000)}
    for seq in range(annals.floor + 1, annals.last + 1):
        if type(read.get(seq)) is not type(annals.facts[seq]):
            journal.broken("P2 seqs without holes", f"{key.session_id} {seq}: {read.get(seq)}")


def _check_once(key: ConversationKey, annals: Annals, journal: Journal) -> None:
    for (_, own), numbers in annals.ids.items():
        if len(numbers) > 1:
            journal.broken("P3 one message an id", f"{own} in {key.session_id} made {numbers}")
    for number, times in annals.ends.items():
        if times > 1:
            journal.broken("one final a reply", f"{number} in {key.session_id} ended {times} times")


def _check_newest(store: Store, key: ConversationKey, annals: Annals, journal: Journal) -> None:
    """Of the answers to one question the history shows the newest alone."""
    shown = [message.id for message in store.messages(key, limit=1000) if message.role == "assistant"]
    newest: dict[int, int] = {}
    for number, begun in annals.begun.items():
        if number in annals.ended:
            newest[begun.question] = max(number, newest.get(begun.question, 0))
    for number in shown:
        if number != newest[annals.begun[number].question]:
            journal.broken("history shows the newest answer", f"{number} in {key.session_id}")


def _check_kept(
    store: Store, key: ConversationKey, own: str, number: int, seq: int, annals: Annals, journal: Journal
) -> None:
    gone = number in annals.recalled or seq < max(annals.resets, default=0)
    found = store.messages(key, limit=1, before=number + 1, after=number - 1)
    if not found and (gone or seq <= annals.floor):
        return
    if gone:
        journal.broken("what is gone is gone", f"{own}, {number} in {key.session_id}")
    elif len(found) != 1 or found[0].seq is None or found[0].content not in annals.texts[number]:
        journal.broken("P1 an acked message stays", f"{own}, {number} in {key.session_id}: {found}")


def check_erased(dump: bytes, truth: Truth, journal: Journal) -> None:
    """Nothing that was recalled, nor what was said before a reset, is left on the disk."""
    for key, annals in truth.annals.items():
        for number in annals.recalled:
            for text in annals.texts[number]:
                if text and text.encode() in dump:
                    journal.broken(
                        "recall erases", f"{text!r} of {number} in {key.session_id} is on the disk"
                    )


def check_clients(clients: list[Client], truth: Truth, journal: Journal) -> None:
    """P2, P4: who is there has been told everything, and everything was answered."""
    for client in clients:
        witness, annals = client.witness, truth.of(client.habit.key)
        if witness is None:
            journal.broken("in the end everybody is back", f"{client.name} was never here")
            continue
        if not witness.is_told_all:
            journal.broken("P2 all are told all", f"{witness.name} is at {witness.last} of {annals.last}")
        elif not client.is_there:
            journal.broken("in the end everybody is back", f"{client.name} is not")
        for own, attempts in witness.answers.asked.items():
            if attempts:
                journal.broken("everything is answered", f"{witness.name}: {own}, {len(attempts)} times")
        if witness.replies.said:
            journal.broken("every stream ends", f"{witness.name}: {list(witness.replies.said)}")
        if witness.owes_gap:
            journal.broken("P4 gap", f"{witness.name} was not resumed, and not told why")


def check_written(wires: list[Wire], listener: Listener, journal: Journal) -> None:
    """No byte is left in a transport: no frame is partly written, and nothing held of those that came."""
    for wire in wires:
        if isinstance(wire, StraightWire) and not wire.gone and wire.recorded.torn:
            journal.broken("in the end all is written", f"but for the end of a frame to {wire.name}")
    if listener.partial_bytes:
        journal.broken("in the end nothing is held", f"{listener.partial_bytes} bytes of messages")


def busy(system: ActorSystem) -> list[str]:
    """The actors that have something to do."""
    return [
        f"{view.address}: {view.state.value}, {view.queued} wait, {view.requests} requests"
        for view in system.actors()
        if view.state is not State.IDLE or view.queued or view.requests or view.kind == "Reply"
    ]


def shape(truth: Truth) -> str:
    """What came of it all, in a line for each conversation."""
    lines = []
    for key, annals in truth.annals.items():
        resets = sum(isinstance(fact, HistoryReset) for fact in annals.facts.values())
        lines.append(f"{key.session_id}: {annals.last} facts, {len(annals.begun)} replies, {resets} resets")
    return "; ".join(lines)
