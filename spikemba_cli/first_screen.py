"""What `spikemba` says when nothing is asked of it: the first commands to type, all of which run offline."""

from spikemba import __version__
from spikemba_cli.console import out
from spikemba_cli.example import EXAMPLE, SENTENCE

FIRST = {
    "spikemba examples": f"Copy a short video to {EXAMPLE.as_posix()}.",
    f'spikemba ground {EXAMPLE.as_posix()} "{SENTENCE}" --checkpoint mini': (
        "Ask for a moment in it. The model `mini` comes along; it knows moving shapes and nothing else."
    ),
    "spikemba demo": "The whole way, in about three minutes: draw videos, extract, train, evaluate, ground.",
    "spikemba doctor": "Try every part that is installed, and say what to do about the others.",
}
"""Command -> what it does."""

THEN = {
    'spikemba ground VIDEO "what to look for"': "Your own video: CLIP answers untrained; its weights are fetched once.",
    "spikemba --help": "All commands, by stage; `spikemba COMMAND --help` explains one, with an example.",
    "spikemba --install-completion": "Let the Tab key complete commands, options and names.",
}


def show_first_screen() -> None:
    """The screen, on stdout."""
    out.print(f"spikemba {__version__}: from a folder of videos to the moments that a sentence describes.")
    for title, commands in {"Try it": FIRST, "Go on": THEN}.items():
        out.print(f"\n{title}", style="bold")
        for command, said in commands.items():
            out.print(f"  {command}", style="cyan")
            out.print(f"      {said}")
