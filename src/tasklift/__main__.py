"""`python -m tasklift` is the command `tasklift`."""

from tasklift.cli.main import main

if __name__ == "__main__":
    main()
