"""`python -m guardian` and the command `guardian`."""

from guardian.cli import main

if __name__ == "__main__":
    main()
