"""Checkpoints on the hub of models: which names mean one, and the folder of the hub's cache that holds it.

Only a checkpoint's own files are fetched, never code or pickles that lie beside them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikemba.errors import CheckpointError

FILES = ("config.json", "model.safetensors", "README.md")
"""What a checkpoint's repository holds."""

BESIDE = ("encoders/*/config.json", "encoders/*/model.safetensors")
"""Encoders that were trained together with it, where there are any."""

TIMEOUT_S = 10.0
"""How long the hub may take to say whether it has a repository."""

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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    found = _NAME.fullmatch(name)
    assert found is not None, f"{name} is no name on the hub"
    repository, revision = found["repository"], revision or found["revision"]
    problem = "" if local_files_only else _problem(repository, revision, token)
    try:
        with without_bars():
            folder = snapshot_download(
                repository,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download and not problem,
                local_files_only=local_files_only or bool(problem),
                allow_patterns=[*FILES, *BESIDE],
            )
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"no checkpoint {name!r}: it is no folder here, the hub's cache does not hold it, and "
            f"{problem or 'nothing else was to be asked'}; give a folder, or fetch it with `hf download {repository}`"
        ) from None
    except Exception as error:
        if not is_outside(error):
            raise
        raise CheckpointError(f"{name} cannot be fetched ({first_line(error)}); run the same command again") from None
    return Path(folder)


def _problem(repository: str, revision: str | None, token: str | bool | None) -> str:
    """Why the hub does not give the repository, in words; empty when it does.

    Asked once and shortly: offline, the hub's own client would try for half a minute.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(repository, FILES[0], revision=revision), token=token, timeout=TIMEOUT_S)
    except errors.GatedRepoError:
        return "its owner must grant access to it first"
    except errors.RepositoryNotFoundError:
        return "the hub has no such repository, or a private one (log in with `hf auth login`)"
    except errors.RevisionNotFoundError:
        return f"the repository has no revision {revision!r}"
    except errors.EntryNotFoundError:
        return f"the repository holds no {FILES[0]}, so it is no checkpoint of spikemba"
    except Exception:  # offline, refused, timed out: each client library has errors of its own
        return "the hub cannot be reached"
    return ""


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the hub's client from drawing bars: they are the caller's own business."""
    from huggingface_hub import utils

    were_drawn = not utils.are_progress_bars_disabled()  # type: ignore[attr-defined]
    utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if were_drawn:
            utils.enable_progress_bars()  # type: ignore[attr-defined]


def is_outside(error: Exception) -> bool:
    """Whether the network, the hub or the disk is at fault; the hub's client changes its HTTP library at times."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests")


def first_line(error: Exception) -> str:
    """The message of an error of another library, cut to a line."""
    return " ".join(str(error).split())[:160]
