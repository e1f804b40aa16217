"""`triologue stacks`: where every task and thread of a running server stands."""

from __future__ import annotations

import argparse
import json

from .looking.admin import Admin, look
from .looking.answers import Stacks, check
from .looking.stacks_view import stacks_view
from .looking.terminal import make_console


def run(arguments: argparse.Namespace) -> int:
    """Print the stacks: 0, or 1 if they can't be had."""

    async def show(admin: Admin) -> int:
        raw = await admin.get("stacks")
        if arguments.json:
            print(json.dumps(raw, indent=2))
        else:
            make_console().print(stacks_view(check(admin.host, raw, Stacks), admin.host))
        return 0

    return look(arguments.url, show)
