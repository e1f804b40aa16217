"""A run's measurements, as they lie in a file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from attrs import Factory, define, frozen

from .contestants import ROOT
from .generator import HERE, Figures


@frozen
class Measurement:
    """One contestant at one kind of work, in one round."""

    work: str
    contestant: str
    round: int
    figures: Figures


@define
class Results:
    """Everything that a run saw, raw."""

    about: dict[str, object]
    measurements: list[Measurement] = Factory(list)

    def of(self, work: str, contestant: str, key: str) -> dict[int, float]:
        """The figure *key* by round."""
        return {
            each.round: each.figures[key]
            for each in self.measurements
            if (each.work, each.contestant) == (work, contestant) and key in each.figures
        }

    def contestants(self, work: str | None = None) -> list[str]:
        """Who was measured, at *work* if it is given, in order of appearance."""
        return list(dict.fromkeys(each.contestant for each in self.measurements if work in (None, each.work)))

    def works(self) -> list[str]:
        """What was measured."""
        return list(dict.fromkeys(each.work for each in self.measurements))

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        rows = [
            {"work": each.work, "contestant": each.contestant, "round": each.round, **each.figures}
            for each in self.measurements
        ]
        path.write_text(json.dumps({"about": self.about, "measurements": rows}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """What `save` wrote."""
        held = json.loads(path.read_text())
        return cls(
            held["about"],
            [
                Measurement(row.pop("work"), row.pop("contestant"), row.pop("round"), row)
                for row in held["measurements"]
            ],
        )


def about_this_run(servers: dict[str, Path], **settings: object) -> dict[str, object]:
    """The machine, the versions, the commits of our servers, and how it was measured."""
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": _said("node", "--version"),
        "peers": [line for line in (HERE / "requirements.txt").read_text().split() if "==" in line],
        "npm": json.loads((HERE / "servers" / "package.json").read_text())["dependencies"],
        "commits": {name: _commit(directory) for name, directory in servers.items()},
        "settings": settings,
    }


def _commit(directory: Path) -> str:
    git = "git", "--no-optional-locks", "-C", str(directory)
    commit = _said(*git, "rev-parse", "--short=12", "HEAD")
    changed = _said(*git, "status", "--porcelain", "--", "actors", "server")
    return f"{commit} and changes" if changed else commit


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
