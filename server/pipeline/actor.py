"""A pipeline: one model, and under it one actor for each reply that is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from attrs import frozen

from actors import Actor, ExitReason, Restart
from server.messages import AwaitPipelines, PipelineInfo, PipelineMessage, PipelinesMessage, WriteReply

from .port import Model
from .reply import Reply
from .teller import Teller


@frozen
class PipelineSpec:
    """A pipeline to run.

    Times in seconds: of silence, and in all, that a reply may take; and at least between two of its chunks.
    `unheard` and `resumes` are as in `PipelineInfo`.
    """

    uuid: str
    name: str
    make_model: Callable[[], Model]
    idle_timeout: float
    total_timeout: float
    chunk_interval: float = 0.02
    unheard: float | None = None
    resumes: bool = False


class Pipelines(Actor[PipelinesMessage]):
    """The parent of all pipelines.

    Args:
        specs: Those to run.
        found: Where they are entered by uuid, anew after a crash; others only read it.
    """

    def __init__(self, *, specs: Sequence[PipelineSpec], found: dict[str, PipelineInfo]) -> None:
        self._specs = specs
        self._found = found

    async def started(self) -> None:
        for spec in self._specs:
            ref = self.spawn(partial(Pipeline, spec), name=spec.uuid)
            self._found[spec.uuid] = PipelineInfo(
                spec.uuid, spec.name, spec.total_timeout, ref, spec.unheard, spec.resumes
            )

    async def handle(self, message: PipelinesMessage) -> None:
        match message:
            case AwaitPipelines():
                message.answer(None)


class Pipeline(Actor[PipelineMessage]):
    """Takes turns and has each answered by a reply of its own."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._model: Model | None = None
        self._teller = Teller(spec.chunk_interval)
        self._replies = 0

    async def started(self) -> None:
        self._model = self._spec.make_model()
        self.start_task(self._teller.run, name="teller")

    async def stopped(self, reason: ExitReason) -> None:
        if self._model is not None:
            await self._model.aclose()

    async def handle(self, message: PipelineMessage) -> None:
        match message:
            case WriteReply():
                self._begin(message)

    def _begin(self, request: WriteReply) -> None:
        model = self._model
        assert model is not None
        self._replies += 1
        writer = self.spawn(
            lambda: Reply(
                model=model,
                turn=request.turn,
                reply_id=request.reply_id,
                reply_to=request.reply_to,
                idle_timeout=self._spec.idle_timeout,
                total_timeout=self._spec.total_timeout,
                teller=self._teller,
            ),
            name=f"reply-{self._replies}",
            restart=Restart.TEMPORARY,
            capacity=1,
        )
        request.answer(writer)
