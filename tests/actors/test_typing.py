"""A wrong message is an error before the program runs: mypy, strict, on what is right and what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

RIGHT = Path(__file__).with_name("typed_right.py")
REPOSITORY = RIGHT.parents[2]
EXAMPLE = REPOSITORY / "examples" / "bank.py"

WRONG = {
    "await account.tell(Closed('a'))": "arg-type",
    "account.tell_nowait('a message')": "arg-type",
    "await account.ask(Other(), timeout=1)": "arg-type",
    "text: str = await account.ask(Balance(), timeout=1)": "arg-type",
    "await account.ask(Deposit(1), timeout=1)": "arg-type",
    "other: ActorRef[Closed] = account": "assignment",
    "wider: ActorRef[AccountMessage | Closed] = account": "assignment",
    "spawned: ActorRef[Closed] = bank.spawn(lambda: Account(0), name='a')": "arg-type",
    "bank.spawn(Account, name='a')": "arg-type",
    "bank.spawn(lambda: 'no actor', name='a')": "arg-type return-value",
    "bank.watch(account, lambda down: down)": "arg-type return-value",
    "bank.watch(account, str)": "arg-type",
    "bank.after(1, Balance())": "arg-type",
    "bank.request(account, Other(), heard, timeout=1)": "arg-type misc",
    "bank.request(account, Deposit(1), heard, timeout=1)": "arg-type misc",
    "bank.request(account, Balance(), Told, timeout=1)": "arg-type",
    "bank.request(account, Balance(), lambda answer: answer.get(), timeout=1)": "arg-type return-value",
    "bank.request(account, Balance(), lambda answer: Deposit(answer.get() + ''), timeout=1)": "operator",
    "bank.ref.tell_nowait(Balance())": "arg-type",
    "Balance().answer('much')": "arg-type",
    "Balance().refuse('no')": "arg-type",
    "Deposit(1).answer(2)": "attr-defined",
}

HEAD = """
from actors import Actor, ActorRef, Answer, Question
from tests.actors.typed_right import Account, AccountMessage, Balance, Bank, Closed, Deposit, heard

class Other(Question[Closed, int]):
    pass

class Told(Closed):
    def __init__(self, answer: Answer[str]) -> None: ...

class Wrong(Actor[Deposit]):
    async def handle(self, message: Closed) -> None: ...

async def wrong(bank: Bank, account: ActorRef[AccountMessage]) -> None:
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The codes of mypy's errors, by line of code."""
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed; the typing of messages is not checked")
    wrong = tmp_path_factory.mktemp("typing") / "wrong.py"
    wrong.write_text(HEAD + "".join(f"    {line}\n" for line in WRONG))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [*command, "--config-file=", str(RIGHT), str(EXAMPLE), str(wrong)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert not done.stderr, done.stderr
    lines = {path.name: path.read_text().splitlines() for path in (RIGHT, EXAMPLE, wrong)}
    found: dict[str, set[str]] = {}
    for name, number, code in re.findall(r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M):
        where = lines[name][int(number) - 1].strip() if name in lines else f"{name}:{number}"
        found.setdefault(where, set()).add(code)
    return found


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_message_is_a_type_error(complaints: dict[str, set[str]], line: str) -> None:
    """For whoever sends it, by whatever way: not a surprise of its receiver."""
    assert complaints.get(line, set()) & set(WRONG[line].split())


def test_a_handler_of_the_wrong_family_is_a_type_error(complaints: dict[str, set[str]]) -> None:
    """An actor says what it takes, once, and its handler takes that."""
    assert complaints["async def handle(self, message: Closed) -> None: ..."] == {"override"}


def test_a_right_message_is_none(complaints: dict[str, set[str]]) -> None:
    """A check that forbids what is right would be switched off; the example shows more of it."""
    known = {*WRONG, "async def handle(self, message: Closed) -> None: ..."}
    assert set(complaints) <= known
