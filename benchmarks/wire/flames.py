"""Draw a flame graph of the server's loop from sampled stacks, so that it can be read without a script.

    py-spy record --function -f raw -r 250 -d 8 -o stacks.raw -p PID    while `benchmarks.wire.run` loads it
    python -m benchmarks.wire.flames stacks.raw flames.svg "ping, one outstanding"

Each box is a function, as wide as the share of samples in which it was on the stack of the loop's thread;
what it called lies above it. Other threads, which mostly wait, are left out, and so is what is the same in
every stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from zlib import crc32

from attrs import define, field

WIDTH, ROW, LETTER = 1200, 17, 6.3
"""In pixels."""
# Boxes of a smaller share are not drawn: nobody could tell them apart.
LEAST = 0.002
LOOP = "unrolled_run "
"""The function that all stacks of trio's thread have at their bottom."""
ALL = "the loop"

# Hues by whose code it is.
OURS, TRIO, OTHERS = 28, 205, 95


@define
class Box:
    """A function, called the same way."""

    name: str
    samples: int = 0
    above: dict[str, Box] = field(factory=dict)

    @property
    def height(self) -> int:
        return 1 + max((box.height for box in self.above.values()), default=0)


def gather(raw: str) -> Box:
    """What *raw*, lines of `function;function;… samples`, says of the loop's thread."""
    bottom = Box(ALL)
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        functions = stack.split(";")
        start = next((at for at, name in enumerate(functions) if name.startswith(LOOP)), None)
        if start is None:
            continue
        box = bottom
        box.samples += int(samples)
        for name in functions[start + 1 :]:
            box = box.above.setdefault(name, Box(name))
            box.samples += int(samples)
    return bottom


def draw(bottom: Box, title: str) -> str:
    """The picture, as SVG."""
    least = LEAST * bottom.samples
    _prune(bottom, least)
    height = (bottom.height + 2) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace"'
        ' font-size="10.5">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="4" y="{ROW - 4}" font-weight="bold">{escape(title)}: {bottom.samples:,} samples'
        " (orange: ours, blue: trio's, green: others')</text>",
        *_boxes(bottom, 0.0, height - ROW - 4, WIDTH / bottom.samples, bottom.samples),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _prune(box: Box, least: float) -> None:
    box.above = {name: each for name, each in sorted(box.above.items()) if each.samples >= least}
    for each in box.above.values():
        _prune(each, least)


def _boxes(box: Box, left: float, top: float, scale: float, all_samples: int) -> Iterator[str]:
    width = box.samples * scale
    label = box.name.partition(" (")[0] if "(" in box.name else box.name
    room = int((width - 4) / LETTER)
    said = label if len(label) <= room else f"{label[: room - 1]}…" if room > 3 else ""
    yield f"<g><title>{escape(box.name)}: {box.samples / all_samples:.1%}</title>"
    yield (
        f'<rect x="{left:.1f}" y="{top:.0f}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}"'
        f' rx="1" fill="{_color(box.name)}"/>'
    )
    if said:
        yield f'<text x="{left + 2:.1f}" y="{top + ROW - 5:.0f}">{escape(said)}</text>'
    yield "</g>"
    for each in box.above.values():
        yield from _boxes(each, left, top - ROW, scale, all_samples)
        left += each.samples * scale


def _color(name: str) -> str:
    """By whose it is; neighbours differ a little."""
    if name == ALL:
        return "#ddd"
    _, _, where = name.partition("(")
    hue = OURS if where.startswith(("server/", "actors/")) else TRIO if where.startswith("trio/") else OTHERS
    return f"hsl({hue},70%,{68 + crc32(name.encode()) % 14}%)"


def main() -> None:
    """Draw the file that the command line names."""
    source, picture, title = sys.argv[1:]
    Path(picture).write_text(draw(gather(Path(source).read_text()), title))


if __name__ == "__main__":
    main()
