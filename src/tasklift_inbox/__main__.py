"""`tasklift-inbox`, and `python -m tasklift_inbox`."""

from __future__ import annotations

import importlib
import sys

from tasklift.errors import MissingDependencyError

EXIT_USER_ERROR = 2


def main() -> None:
    """The command line; one line where the extra [inbox] is not installed."""
    try:
        cli = importlib.import_module("tasklift_inbox.cli")
    except MissingDependencyError as error:
        print(f"tasklift-inbox: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    cli.main()


if __name__ == "__main__":
    main()
