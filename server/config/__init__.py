"""What the operator decided: `load()` reads it once at the start and gives a frozen, checked `Config`.

`assembly` hands each room its own part as plain arguments. The map: `rules` and `addresses` say what a key
takes, `model` has the keys, `structure` turns a TOML document into the model, `loading` finds the sources,
and `showing` writes values into errors.
"""

from .errors import ConfigError
from .loading import load
from .model import (
    BUILT_IN_PIPELINE,
    AnyPipeline,
    Config,
    Cors,
    EchoPipeline,
    Encryption,
    History,
    Limits,
    OpenAIPipeline,
    Pipeline,
    PythonPipeline,
    Retention,
    Storage,
    Telemetry,
    Timeouts,
    Tls,
    WebhookPipeline,
)

__all__ = [
    "BUILT_IN_PIPELINE",
    "AnyPipeline",
    "Config",
    "ConfigError",
    "Cors",
    "EchoPipeline",
    "Encryption",
    "History",
    "Limits",
    "OpenAIPipeline",
    "Pipeline",
    "PythonPipeline",
    "Retention",
    "Storage",
    "Telemetry",
    "Timeouts",
    "Tls",
    "WebhookPipeline",
    "load",
]
