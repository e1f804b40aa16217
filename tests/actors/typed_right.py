"""What mypy must accept; see `test_typing`."""

from __future__ import annotations

from attrs import frozen

from actors import Actor, ActorRef, Answer, Down, Question, Restart, Timer


@frozen
class Deposit:
    amount: int


@frozen(eq=False)
class Balance(Question["AccountMessage", int]):
    pass


AccountMessage = Deposit | Balance


class Account(Actor[AccountMessage]):
    def __init__(self, balance: int) -> None:
        self.balance = balance

    async def handle(self, message: AccountMessage) -> None:
        match message:
            case Deposit(amount):
                self.balance += amount
            case Balance():
                message.answer(self.balance)


@frozen
class Closed:
    address: str


class Bank(Actor[Closed | Deposit]):
    async def started(self) -> None:
        ref: ActorRef[AccountMessage] = self.spawn(lambda: Account(0), name="a", restart=Restart.TRANSIENT)
        await ref.tell(Deposit(1))
        ref.tell_nowait(Deposit(1))
        balance: int = await ref.ask(Balance(), timeout=1)
        timer: Timer = self.after(balance, Closed("root/a"))
        self.watch(ref, closed)
        self.ref.tell_nowait(Closed("root/a"))
        timer.cancel()
        wide: ActorRef[AccountMessage | Closed] = self.spawn(Everything, name="e")
        balance = await wide.ask(Balance(), timeout=1)
        # Who takes more takes this as well.
        narrow: ActorRef[Deposit] = ref
        deposits: list[ActorRef[Deposit]] = [ref, self.ref]
        narrow.tell_nowait(Deposit(len(deposits)))
        self.request(ref, Balance(), heard, timeout=1)
        self.request(wide, Balance(), lambda answer: Deposit(answer.get()), timeout=1)

    async def handle(self, message: Closed | Deposit) -> None:
        pass


class Everything(Actor[AccountMessage | Closed]):
    async def handle(self, message: AccountMessage | Closed) -> None:
        pass


def heard(answer: Answer[int]) -> Closed | Deposit:
    return Closed("root/a") if answer.error else Deposit(answer.get())


def closed(down: Down) -> Closed:
    return Closed(down.address)
