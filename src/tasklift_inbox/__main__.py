"""`tasklift-inbox`, and `python -m tasklift_inbox`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tasklift.errors import MissingDependencyError, TaskliftError

EXIT_USER_ERROR, EXIT_INTERRUPTED = 2, 130


def main() -> None:
    """The command line: errors that users can mend, also that the extra [inbox] is missing, are one line."""
    try:
        _load_cli().app()
    except TaskliftError as error:
        print(f"tasklift-inbox: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _load_cli() -> Any:
    try:
        return importlib.import_module("tasklift_inbox.cli")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"the inbox ({error.name})", "inbox") from error


if __name__ == "__main__":
    main()
