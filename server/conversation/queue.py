"""The questions of one conversation: those that wait, and the one whose reply is being written."""

from __future__ import annotations

from actors import cause
from server.chat import Message, Question, weight_of

from .allowance import Allowance
from .state import ConversationState, Waiting


class Queue:
    """Keeps `state.waiting` and `state.answering`, and what they take of the allowance.

    Args:
        state: The conversation's.
        allowance: What the questions in all conversations may weigh together.
    """

    def __init__(self, state: ConversationState, allowance: Allowance) -> None:
        self._state = state
        self._allowance = allowance

    def __len__(self) -> int:
        return len(self._state.waiting)

    def add(self, question: Question, weight: int) -> None:
        """Let *question*, whose *weight* was taken from the allowance, wait for its reply."""
        self._state.waiting.append(Waiting(question, weight, cause()))

    def begin(self) -> Waiting:
        """The next one, whose reply is about to begin. It stays in its place until `leave`."""
        waiting = self._state.answering = self._state.waiting[0]
        return waiting

    def leave(self) -> Waiting:
        """The reply to the next one has begun: it waits no more."""
        state, answering = self._state, self._state.answering
        assert answering is not None
        if state.waiting and state.waiting[0] is answering:
            state.waiting.popleft()
        return answering

    def settle(self) -> None:
        """Nobody answers any more what was being answered."""
        if self._state.answering is not None:
            self._allowance.give(self._state.answering.weight)
            self._state.answering = None

    def reword(self, message: Message) -> None:
        """Answer what the message says now, if it is still waiting."""
        state = self._state
        for place, waiting in enumerate(state.waiting):
            if waiting.message.id == message.id:
                reworded = state.waiting[place] = waiting.reworded(message)
                self._allowance.give(waiting.weight)
                self._allowance.hold(reworded.weight)
                if state.answering is waiting:
                    state.answering = reworded

    def withdraw(self, message_id: int) -> bool:
        """Answer that message no more; whether its reply is being written and should be stopped."""
        state = self._state
        for waiting in list(state.waiting):
            if waiting.message.id == message_id and waiting is not state.answering:
                state.waiting.remove(waiting)
                self._allowance.give(waiting.weight)
        return state.answering is not None and state.answering.message.id == message_id

    def forget(self) -> None:
        """Give back what the questions took that nobody here will answer."""
        state = self._state
        while state.waiting:
            waiting = state.waiting.popleft()
            if waiting is not state.answering:
                self._allowance.give(waiting.weight)
        self.settle()

    def match(self, questions: tuple[Question, ...]) -> None:
        """Have just *questions* wait, those that are known with the frames that they came in."""
        state = self._state
        known = {waiting.message.id: waiting for waiting in state.waiting}
        state.waiting.clear()
        for question in questions:
            waiting = known.pop(question.message.id, None)
            if waiting is None:
                waiting = Waiting(question, weight_of(question.message.chain), cause())
                self._allowance.hold(waiting.weight)
            state.waiting.append(waiting)
        for question in questions:
            self.reword(question.message)  # it may have been edited without our hearing of it
        for waiting in known.values():
            if waiting is not state.answering:
                self._allowance.give(waiting.weight)
