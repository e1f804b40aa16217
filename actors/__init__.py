"""Actors on trio: supervised tasks with bounded mailboxes.

An `Actor` handles one message at a time, in a task of its own; an `ActorRef` is all that others hold of it.
Every actor runs under a parent that restarts it, by its policy and within a budget, when it crashes. The
runtime depends on trio and attrs alone and knows nothing of chat.
"""

from .actor import Actor
from .ask import Question
from .causality import Activity, Cause, Origin, cause, current, origin, resume
from .dead_letters import DeadLetter
from .delivery import Later
from .envelope import Envelope
from .errors import (
    ActorDied,
    ActorError,
    AskTimeout,
    MailboxFull,
    QuestionDropped,
    RecipientStopped,
    RestartBudgetSpent,
    WaitCycle,
)
from .fanout import FanOut, fan_out, fan_out_nowait
from .lifecycle import Crashed, Down, ExitReason, State, Stopped
from .mailbox import Overflow
from .observation import (
    FrameView,
    Hold,
    Recording,
    TaskView,
    ThreadView,
    Watchdog,
    record,
    survey_tasks,
    survey_threads,
    task_tree,
)
from .ref import ActorRef
from .registry import (
    Join,
    Leave,
    Members,
    NameTaken,
    Register,
    Registry,
    RegistryMessage,
    Unregister,
    WhereIs,
)
from .request import Answer
from .restart import Backoff, Restart, RestartBudget, Strategy, Streak
from .supervisor import Supervisor
from .system import ActorSystem
from .timers import Timer
from .tracing import Observer
from .views import ActorView, CrashView, GoneView, KindTotals, MessageView, WaitView

__all__ = [
    "Activity",
    "Actor",
    "ActorDied",
    "ActorError",
    "ActorRef",
    "ActorSystem",
    "ActorView",
    "Answer",
    "AskTimeout",
    "Backoff",
    "Cause",
    "CrashView",
    "Crashed",
    "DeadLetter",
    "Down",
    "Envelope",
    "ExitReason",
    "FanOut",
    "FrameView",
    "GoneView",
    "Hold",
    "Join",
    "KindTotals",
    "Later",
    "Leave",
    "MailboxFull",
    "Members",
    "MessageView",
    "NameTaken",
    "Observer",
    "Origin",
    "Overflow",
    "Question",
    "QuestionDropped",
    "RecipientStopped",
    "Recording",
    "Register",
    "Registry",
    "RegistryMessage",
    "Restart",
    "RestartBudget",
    "RestartBudgetSpent",
    "State",
    "Stopped",
    "Strategy",
    "Streak",
    "Supervisor",
    "TaskView",
    "ThreadView",
    "Timer",
    "Unregister",
    "WaitCycle",
    "WaitView",
    "Watchdog",
    "WhereIs",
    "cause",
    "current",
    "fan_out",
    "fan_out_nowait",
    "origin",
    "record",
    "resume",
    "survey_tasks",
    "survey_threads",
    "task_tree",
]
