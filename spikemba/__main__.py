"""`python -m spikemba`: the `spikemba` command of this installation, for where its folder is not on the PATH.

The command is found as the shell finds it, by the entry point that the package declares: the library does not know the
terminal that stands on it.
"""

import sys
from importlib.metadata import entry_points


def main() -> None:
    """Run the installed command."""
    found = list(entry_points(group="console_scripts", name="spikemba"))
    if not found:
        sys.exit("error: spikemba is not installed in this Python; run `pip install .` in its folder")
    found[0].load()()


if __name__ == "__main__":
    main()
