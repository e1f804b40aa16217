"""A small bank: accounts that crash and come back, transfers that wait, a clerk that looks after the time.

    python examples/bank.py

Shows, on `actors` alone: a supervisor with a strategy, questions with a deadline, timers, a name and a group
in a registry, a watcher, a crash in the middle, and an orderly end.
"""

from __future__ import annotations

import logging
from functools import partial

import trio
from attrs import define, field, frozen

from actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Join,
    Members,
    Question,
    Register,
    Registry,
    RegistryMessage,
    Restart,
    Strategy,
    Supervisor,
    WhereIs,
)

INTEREST = 0.1


# -- what actors say


class Overdrawn(Exception):
    """There is not so much in the account."""


@frozen(eq=False)
class Withdraw(Question["AccountMessage", int]):
    """The new balance; refused with `Overdrawn`."""

    amount: int


@frozen(eq=False)
class Deposit(Question["AccountMessage", int]):
    """The new balance."""

    amount: int


@frozen(eq=False)
class Balance(Question["AccountMessage", int]):
    pass


@frozen
class PayInterest:
    pass


AccountMessage = Withdraw | Deposit | Balance | PayInterest


@frozen(eq=False)
class Transfer(Question["ClerkMessage", str]):
    """What became of it, in words."""

    giver: str
    taker: str
    amount: int


@frozen
class Evening:
    pass


@frozen
class Gone:
    address: str


ClerkMessage = Transfer | Evening | Gone


# -- what must outlive a crash


@define
class Ledger:
    """The bank's books. An account that crashes finds its balance here; all else of it is fresh."""

    balances: dict[str, int] = field(factory=dict)


# -- who does it


class Account(Actor[AccountMessage]):
    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner

    async def handle(self, message: AccountMessage) -> None:
        balance = self._ledger.balances[self._owner]
        match message:
            case Withdraw(amount) if amount > balance:
                message.refuse(Overdrawn(f"{self._owner} has {balance}"))
            case Withdraw(amount):
                message.answer(self._book(-amount))
            case Deposit(amount):
                if amount == 13 and self._owner == "bob":
                    raise ValueError("bob is superstitious")  # the supervisor brings his account back
                message.answer(self._book(amount))
            case Balance():
                message.answer(balance)
            case PayInterest():
                self._book(int(balance * INTEREST))

    def _book(self, amount: int) -> int:
        self._ledger.balances[self._owner] += amount
        return self._ledger.balances[self._owner]


class Clerk(Actor[ClerkMessage]):
    """Moves money, and pays interest to every account each evening."""

    def __init__(self, registry: ActorRef[RegistryMessage], day: float) -> None:
        self._registry = registry
        self._day = day
        self._watched: set[ActorRef[AccountMessage]] = set()

    async def started(self) -> None:
        self.after(self._day, Evening())

    async def handle(self, message: ClerkMessage) -> None:
        match message:
            case Transfer():
                message.answer(await self._transfer(message))
            case Evening():
                for account in await self._registry.ask(Members("accounts"), timeout=1):
                    if account not in self._watched:
                        self._watched.add(account)
                        self.watch(account, lambda down: Gone(down.address))
                    await account.tell(PayInterest())
                self.after(self._day, Evening())
            case Gone(address):
                print(f"{address} was closed")

    async def _transfer(self, order: Transfer) -> str:
        giver = await self._find(order.giver)
        taker = await self._find(order.taker)
        if giver is None or taker is None:
            return "no such account"
        try:
            await giver.ask(Withdraw(order.amount), timeout=1)
        except Overdrawn as error:
            return f"refused: {error}"
        try:
            await taker.ask(Deposit(order.amount), timeout=1)
        except ActorDied:  # at once, though the account is being restarted
            await giver.ask(Deposit(order.amount), timeout=1)
            return f"{order.taker}'s account crashed; the money is back"
        return "done"

    async def _find(self, owner: str) -> ActorRef[AccountMessage] | None:
        return await self._registry.ask(WhereIs(owner), timeout=1)


class Accounts(Supervisor):
    """One account is nothing to another: each comes back alone."""

    strategy = Strategy.ONE_FOR_ONE

    def __init__(self, ledger: Ledger, registry: ActorRef[RegistryMessage]) -> None:
        self._ledger = ledger
        self._registry = registry

    async def started(self) -> None:
        for owner in self._ledger.balances:
            account = self.spawn(partial(Account, self._ledger, owner), name=owner, restart=Restart.TRANSIENT)
            await self._registry.ask(Register(owner, account), timeout=1)
            await self._registry.ask(Join("accounts", account), timeout=1)


class Bank(Supervisor):
    """The clerk needs the accounts, and they the registry: who restarts takes those after it along."""

    strategy = Strategy.REST_FOR_ONE

    def __init__(self, ledger: Ledger, day: float) -> None:
        self._ledger = ledger
        self._day = day

    async def started(self) -> None:
        registry = self.spawn(Registry, name="registry")
        self.spawn(partial(Accounts, self._ledger, registry), name="accounts")
        self.spawn(partial(Clerk, registry, self._day), name="clerk")


# -- a day at the bank


async def main() -> None:
    ledger = Ledger({"ann": 100, "bob": 20})
    system = ActorSystem()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, partial(Bank, ledger, day=0.2), name="bank"))
        await trio.sleep(0.05)  # till it has opened
        clerk = system.find("bank/clerk")
        assert clerk is not None
        await visit(clerk)
        await trio.sleep(0.25)  # till after the evening
        ann = system.find("bank/accounts/ann")
        assert ann is not None
        ann.stop("moved away")
        await ann.wait_gone()
        await trio.sleep(0.05)  # till the clerk has heard
        for view in system.actors():
            print(f"{view.address:18} {view.handled} handled, {view.restarts} restarts")
        system.stop("the bank closes")
    print(f"books: {ledger.balances}")


async def visit(clerk: ActorRef[ClerkMessage]) -> None:
    for giver, taker, amount in (
        ("ann", "bob", 30),
        ("bob", "ann", 999),
        ("bob", "eve", 1),
        ("ann", "bob", 13),
        ("bob", "ann", 40),
    ):
        outcome = await clerk.ask(Transfer(giver, taker, amount), timeout=5)
        print(f"{giver} → {taker}: {amount}: {outcome}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)  # a crash is logged with its traceback; here it is meant
    trio.run(main)
