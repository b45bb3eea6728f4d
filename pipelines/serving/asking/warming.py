"""What the first question would wait for: kernels that are compiled on first use, libraries that load late."""

import shutil
from collections.abc import Iterable

import numpy as np

from spikemba.errors import SpikeMbaError
from spikemba.files import folder_of_ours
from spikemba.grounder.grounder import Grounder
from spikemba.video.files import write_video


def warm(models: Iterable[Grounder]) -> None:
    """Ask each model once about a second of nothing. What fails here will fail, and say why, when somebody asks."""
    folder = folder_of_ours("spikemba-warm")
    video = folder / "black.mp4"
    try:
        write_video(video, (np.zeros((64, 64, 3), np.uint8) for _ in range(8)), fps=8)
        for model in models:
            model.ground(video, "a dog", cache=False)
    except SpikeMbaError:
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
