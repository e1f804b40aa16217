"""Actors on trio: supervised tasks with bounded mailboxes.

An `Actor` handles one message at a time, in a task of its own; an `ActorRef` is all that others hold of it.
Every actor runs under a parent that restarts it, by its policy and within a budget, when it crashes. The
runtime depends on trio and attrs alone and knows nothing of chat.
"""

from .actor import Actor, Timer
from .ask import Question
from .dead_letters import DeadLetter
from .errors import (
    ActorDied,
    ActorError,
    AskTimeout,
    MailboxFull,
    RecipientStopped,
    RestartBudgetSpent,
)
from .lifecycle import Crashed, Down, ExitReason, State, Stopped
from .mailbox import Overflow
from .ref import ActorRef
from .restart import Backoff, Restart, RestartBudget, Streak
from .supervisor import Supervisor
from .system import ActorSystem, ActorView

__all__ = [
    "Actor",
    "ActorDied",
    "ActorError",
    "ActorRef",
    "ActorSystem",
    "ActorView",
    "AskTimeout",
    "Backoff",
    "Crashed",
    "DeadLetter",
    "Down",
    "ExitReason",
    "MailboxFull",
    "Overflow",
    "Question",
    "RecipientStopped",
    "Restart",
    "RestartBudget",
    "RestartBudgetSpent",
    "State",
    "Stopped",
    "Streak",
    "Supervisor",
    "Timer",
]
