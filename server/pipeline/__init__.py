"""Pipelines: who answers. A model writes text; the actors around it give it its turn and its time."""

from .actor import Pipelines, PipelineSpec
from .echo import EchoModel
from .port import Finish, Model

__all__ = ["EchoModel", "Finish", "Model", "PipelineSpec", "Pipelines"]
