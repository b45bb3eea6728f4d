"""A Dockerfile read line by line, and what its context holds: as much of both as this repository's need."""

import fnmatch
import json
import re
import shlex
from pathlib import Path, PurePosixPath
from typing import NamedTuple

KNOWN = {"FROM", "RUN", "COPY", "ENV", "ARG", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT"}


class Step(NamedTuple):
    """An instruction and the rest of its line."""

    name: str
    rest: str

    @property
    def words(self):
        """Of a shell's line, or of a list in JSON's form."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


def steps_of(text):
    """The instructions in their order. Raises ValueError for one that is not understood."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        if name and name not in KNOWN:
            raise ValueError(f"{name} is not one of {', '.join(sorted(KNOWN))}")
        if name:
            found.append(Step(name, rest.strip()))
    return found


def stages_of(text):
    """Name or number of each stage -> its steps, the first of which is its FROM."""
    stages = {}
    for step in steps_of(text):
        if step.name == "FROM":
            _, _, name = step.rest.partition(" AS ")
            current = stages.setdefault(name or str(len(stages)), [])
        current.append(step)
    return stages


def ignored(path, patterns):
    """Whether .dockerignore keeps a path out of the context; the last pattern that it or a folder above fits rules."""
    parts = PurePosixPath(path).parts
    ways = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    out = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        if wanted.startswith("**/"):
            fits = any(fnmatch.fnmatchcase(part, wanted[3:]) for part in parts)
        else:
            fits = any(fnmatch.fnmatchcase(way, wanted) and way.count("/") == wanted.count("/") for way in ways)
        out = (not pattern.startswith("!")) if fits else out
    return out


def patterns_of(text):
    """The lines of a .dockerignore."""
    return [line.strip().rstrip("/") for line in text.splitlines() if line.strip() and not line.startswith("#")]


def context_of(root, tracked):
    """Files that a build sees, of those named relative to root."""
    patterns = patterns_of((Path(root) / ".dockerignore").read_text("utf-8"))
    return [path for path in tracked if not ignored(path, patterns)]
