"""`python -m tasklift_inbox`."""

from tasklift_inbox.cli import main

main()
