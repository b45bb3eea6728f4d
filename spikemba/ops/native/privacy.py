"""Whether somebody else could have put a library where one is loaded from, or could swap it."""

import os
import stat
import sys
from pathlib import Path, PurePath


def problem_of(folder: Path) -> str | None:
    """What lets others write into a folder or into one above it, or None. The folder is resolved; raises OSError.

    On Windows access lists say who may write, and Python does not read them. In a user's own folder nobody else may, so
    the folder must lie there.
    """
    if sys.platform == "win32":
        try:
            return problem_of_place(folder, Path.home().resolve())
        except RuntimeError:  # as a service may run, for an account that has none
            return f"no home folder of this user is known, and others may write to {folder}; set USERPROFILE to one"
    for path in (folder, *folder.parents):
        if problem := _problem_of_owner(path, path.stat(), last=path == folder):
            return problem
    return None


def problem_of_place(folder: PurePath, home: PurePath) -> str | None:
    """What is wrong on Windows."""
    if folder.is_relative_to(home):
        return None
    return f"{folder} is outside of {home}, and others may write there; set SPIKEMBA_CACHE to a folder of yours"


def is_ours(path: Path) -> bool:
    """Whether this user wrote a file; not asked on Windows, where a user's own folder has no others' files."""
    return sys.platform == "win32" or path.stat().st_uid == os.getuid()


def _problem_of_owner(path: Path, status: os.stat_result, *, last: bool) -> str | None:
    """The folder itself must be ours alone; those above it must not let strangers swap what is in them."""
    others = stat.S_IWGRP | stat.S_IWOTH if last else stat.S_IWOTH
    sticky = bool(status.st_mode & stat.S_ISVTX) and not last
    if status.st_uid not in ((os.getuid(),) if last else (0, os.getuid())):
        return f"{path} belongs to another user"
    if status.st_mode & others and not sticky:
        return f"{path} can be written by others; run `chmod go-w {path}`"
    return None
