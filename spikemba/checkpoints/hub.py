"""Checkpoints on the hub of models: which names mean one, and the folder of the hub's cache that holds it.

Only a checkpoint's own files are fetched, never code or pickles that lie beside them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikemba.errors import CheckpointError
from spikemba.files import CHECKPOINT_FILES, CONFIG_FILE, ENCODERS_FOLDER
from spikemba.hub_problem import hub_problem, is_outside, what_failed
from spikemba.libraries import library

FILES = (*CHECKPOINT_FILES, "README.md")
"""What a checkpoint's repository holds."""

BESIDE = tuple(f"{ENCODERS_FOLDER}/*/{name}" for name in CHECKPOINT_FILES)
"""Encoders that were trained together with it, where there are any."""

_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def is_hub_name(name: str) -> bool:
    """Whether `name` is of the form owner/repository or owner/repository@revision, and no path of this machine.

    Where `owner` is a folder here, the name is a mistyped path, and nobody is asked for it.
    """
    return _NAME.fullmatch(name) is not None and not Path(name.partition("/")[0]).exists()


def fetch(
    name: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The folder of the hub's cache that holds the checkpoint: brought up to date where the hub can be reached.

    name: owner/repository, or owner/repository@revision.  The other arguments are those of huggingface_hub.
    Raises CheckpointError that says what was in the way.
    """
    with library("huggingface_hub"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

    found = _NAME.fullmatch(name)
    assert found is not None, f"{name} is no name on the hub"
    repository, revision = found["repository"], revision or found["revision"]
    problem = None if local_files_only else hub_problem(repository, CONFIG_FILE, revision=revision, token=token)
    try:
        with without_bars():
            folder = snapshot_download(
                repository,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download and not problem,
                local_files_only=local_files_only or problem is not None,
                allow_patterns=[*FILES, *BESIDE],
            )
    except LocalEntryNotFoundError:
        why = "nothing else was to be asked" if problem is None else problem.text
        why += ", so it is no checkpoint of spikemba" if problem is not None and problem.kind == "file" else ""
        raise CheckpointError(
            f"no checkpoint {name!r}: it is no folder here, the hub's cache does not hold it, and {why}; "
            f"give a folder, or fetch it with `hf download {repository}`"
        ) from None
    except Exception as error:
        if not is_outside(error):
            raise
        _, why = what_failed(error)
        raise CheckpointError(f"{name} cannot be fetched: {why}; run the same command again") from None
    return Path(folder)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the hub's client from drawing bars: they are the caller's own business."""
    with library("huggingface_hub"):
        from huggingface_hub import utils

    were_drawn = not utils.are_progress_bars_disabled()  # type: ignore[attr-defined]
    utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if were_drawn:
            utils.enable_progress_bars()  # type: ignore[attr-defined]
