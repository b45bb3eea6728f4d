"""Read broken files by every reader, or by those that are named, and say how each ended.

    python tests/fuzz/run.py --mutations 2000 [--seed 0] [--keep FOLDER] [READER ...]

A file may be read, or refused by one clear line; any other exception, 20 seconds of work or two gigabytes are a fault.
Prints a JSON line per reader; exits 1 when there was a fault. What killed the process lies in FOLDER as `..__current`.
"""

import argparse
import json
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from fuzz.mutations import mutated
from fuzz.readers import READERS

from spikemba.errors import SpikeMbaError

FOUND = Path(__file__).with_name("found")
"""Files that ended in a fault once, each named by its reader."""
SECONDS, BYTES = 20, 2 << 30
LONGEST_MESSAGE = 3000


class TooLong(BaseException):
    """A file took longer than any should."""


def outcome(name: str, path: Path) -> str:
    """`read`, `refused`, or the fault that it was."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        READERS[name].read(path)
    except SpikeMbaError as error:
        message = str(error)
        return "refused" if 0 < len(message) < LONGEST_MESSAGE else f"FAULT: a message of {len(message)} characters"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)
        own = [step for step in last if "/spikemba/" in step.filename or "/pipelines/" in step.filename]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
        return f"FAULT: {type(error).__name__}: {' '.join(str(error).split())[:120]} @ {place}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return "read"


def prepared(name: str, folder: Path) -> Path:
    """The valid file of a reader, with what lies beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / READERS[name].file
    READERS[name].seed(path)
    return path


def fuzz(name: str, mutations: int, seed: int, keep: Path, found_before: Path | None) -> dict[str, object]:
    """How many files ended how, and the first file of each fault."""
    stem = name.replace(" ", "_")
    old = sorted(found_before.glob(f"{stem}__*")) if found_before else []
    with tempfile.TemporaryDirectory() as scratch:
        path = prepared(name, Path(scratch) / stem)
        content, beside = path.read_bytes(), set(path.parent.iterdir())
        first = outcome(name, path)
        ends, faults = Counter[str](), {} if first == "read" else {f"the valid file: {first}": ""}
        current = keep / f"{stem}__current{path.suffix}"
        for i in range(-len(old), mutations):
            chance = random.Random(f"{seed} {name} {i}")
            path.write_bytes(old[i].read_bytes() if i < 0 else mutated(content, chance))
            shutil.copyfile(path, current)
            found = outcome(name, path)
            ends[found.partition(":")[0]] += 1
            if found.startswith("FAULT") and found not in faults:
                kept = current.with_name(f"{stem}__{zlib.crc32(path.read_bytes()):08x}{path.suffix}")
                shutil.copyfile(path, kept)
                faults[found] = str(kept)
            for other in set(path.parent.iterdir()) - beside:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        current.unlink(missing_ok=True)
    return {"reader": name, "ends": ends, "faults": faults, "found": len(old)}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("readers", nargs="*", default=[], help=", ".join(READERS))
    options.add_argument("--mutations", type=int, default=2000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--found", action="store_true", help="first the files that ended in a fault once")
    options.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "spikemba-fuzz")
    chosen = options.parse_args()
    chosen.keep.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGVTALRM, _too_long)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    failed = False
    for name in chosen.readers or READERS:
        found = fuzz(name, chosen.mutations, chosen.seed, chosen.keep, FOUND if chosen.found else None)
        failed |= bool(found["faults"])
        print(json.dumps(found), flush=True)
    return int(failed)


def _too_long(*_: object) -> None:
    raise TooLong


if __name__ == "__main__":
    sys.exit(main())
