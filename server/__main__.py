"""`python -m server`, and the command `triologue`."""

from __future__ import annotations

import sys

from server.loading import loading

with loading():
    from server import cli


def main() -> None:
    """Run the command line, and leave with its status."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
