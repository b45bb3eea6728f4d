"""What is installed and works, which weights are here, what will run where.

Whatever is looked at may be broken, and may take the process that looks down with it: everything that imports more than
the standard library happens in processes of their own.
"""

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import spikemba
from pipelines.doctor.patience import LIMIT_S, busy
from pipelines.doctor.processes import Outcome, State, try_all
from pipelines.doctor.trials import Probe, probes
from spikemba.errors import SpikeMbaError, UnknownName, command_line, names_like
from spikemba.libraries import OWN, cause, cure, is_installed, version, versioned
from spikemba.progress import Report, silent

if TYPE_CHECKING:
    from spikemba.encoders.weights import Source
    from spikemba.ops.official_kernels import Found


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    state: State
    """`absent` is no fault: something optional is not there. `slow` is none either: there was no answer."""
    detail: str


def examine(only: Sequence[str] = (), limit_s: float = LIMIT_S, report: Report = silent) -> list[Finding]:
    """Look at this installation.  only: topics of lines and names of sections; none: all.

    limit_s: of computing, or of doing nothing, after which one probe is given up.  report: counts what was tried.
    Raises UnknownName.
    """
    known = {probe.topic: probe for probe in probes()}
    for topic in only:
        if topic not in known and topic not in SECTIONS and topic not in LINES:
            raise UnknownName("line of the report", topic, [*known, *SECTIONS, *LINES])
    wanted = [known[topic] for topic in only or known if topic in known]
    there = [probe for probe in wanted if not probe.optional or any(map(is_installed, probe.packages))]
    named = {LINES.get(topic, topic) for topic in only}
    sections = {name: f"{__name__}:section({name})" for name in SECTIONS if not only or name in named}
    apart = [place for name, place in sections.items() if name not in OF_NO_LIBRARY]
    outcomes = try_all([*(probe.place for probe in there), *apart], limit_s, report)
    found = [] if only else [Finding("python", "ok", platform.python_version()), _processors()]
    found += [_judged(probe, outcomes.get(probe.place)) for probe in wanted]
    for name, place in sections.items():
        lines = _of_section(name, outcomes[place]) if place in outcomes else SECTIONS[name]()
        found += [line for line in lines if not only or name in only or line.topic in (name, *only)]
    return found


def _processors() -> Finding:
    return Finding("cpu", "ok", f"{os.cpu_count()} processors{busy()}")


def section(name: str) -> str:
    """The findings of a section as JSON, for the process that asked."""
    return json.dumps([asdict(finding) for finding in SECTIONS[name]()])


def _judged(probe: Probe, outcome: Outcome | None) -> Finding:
    """What a probe says; None: its package is not there, and need not be."""
    if outcome is None:
        return Finding(probe.topic, "absent", f"not installed; it is for {probe.optional}")
    if outcome.state == "slow":
        return _slow(probe.topic, outcome)
    if outcome.state == "fault":
        tried = next(filter(is_installed, probe.packages), probe.package)
        return Finding(probe.topic, "fault", _with_cure(outcome, tried))
    number = f"{version(probe.package)}; " if probe.is_package else ""
    return Finding(probe.topic, outcome.state, f"{number}{outcome.detail}")


def _of_section(name: str, outcome: Outcome) -> list[Finding]:
    if outcome.state == "ok":
        return [Finding(**one) for one in json.loads(outcome.detail)]
    return [_slow(name, outcome) if outcome.state == "slow" else Finding(name, "fault", _with_cure(outcome, "torch"))]


def _slow(topic: str, outcome: Outcome) -> Finding:
    """No answer is no fault of any package; what to do is to ask again."""
    again = command_line("spikemba", "doctor", "--only", topic)
    return Finding(topic, "slow", f"{outcome.detail}; when the machine is idle, run `{again}`")


def _with_cure(outcome: Outcome, package: str) -> str:
    """The cause, and the command that mends it."""
    if outcome.said:
        return outcome.detail
    culprit = package if outcome.broken in ("", "__main__") else outcome.broken
    culprit = "spikemba" if culprit in OWN else culprit
    return f"{versioned(culprit)}: {outcome.detail}; run `{cure(culprit, absent=not is_installed(culprit))}`"


def machine() -> Iterator[Finding]:
    """What torch computes on, and which scan runs there."""
    import torch

    yield Finding("threads", "ok", f"{torch.get_num_threads()} of torch")
    if torch.cuda.is_available():
        yield Finding("gpu", "ok", torch.cuda.get_device_name())
    else:
        yield Finding("gpu", "absent", "torch sees none; everything runs on the CPU")
    yield from scan()


def scan() -> Iterator[Finding]:
    """Which scan runs here, and why."""
    import torch

    from spikemba.ops.native.library import ENVIRONMENT, load
    from spikemba.ops.selective_scan import BACKENDS, best_backend

    wanted, kernels = os.environ.get(ENVIRONMENT, ""), load()
    if wanted == "0":
        yield Finding("cpu kernels", "absent", f"{ENVIRONMENT}=0 forbids them; the scan runs in plain PyTorch")
    elif kernels.library is not None:
        instead = f"; not compiled here: {kernels.instead}" if kernels.instead else ""
        yield Finding("cpu kernels", "ok", f"{'of the wheel' if instead else 'compiled'}: {kernels.detail}{instead}")
    else:
        state: Literal["fault", "absent"] = "fault" if wanted == "1" else "absent"
        yield Finding("cpu kernels", state, f"{kernels.detail}; the scan runs in plain PyTorch, several times slower")
        if wanted == "1":
            return
    yield Finding("scan", "ok", f"{best_backend(torch.empty(1), 16)} on this CPU; backends: {', '.join(BACKENDS)}")
    if torch.cuda.is_available():
        yield from on_gpu()


def on_gpu() -> Iterator[Finding]:
    """Which kernels really run on the GPU, of which package, and why not others."""
    import torch

    from spikemba.ops.official_kernels import CONVOLUTION, SCAN, find
    from spikemba.ops.selective_scan import best_backend

    backend, official = best_backend(torch.empty(1, device="cuda"), 16), find(SCAN)
    scan = official.place if backend == "mamba_ssm" else f"{backend}, in this package"
    convolution = find(CONVOLUTION)
    yield Finding("scan on gpu", "ok", scan + _not_used(official))
    yield Finding("convolution on gpu", "ok", (convolution.place or "plain PyTorch") + _not_used(convolution))


def _not_used(found: "Found") -> str:
    """Why the official kernel that goes first is not the one."""
    return f"; the official kernel is not used: {found.problem}" if found.problem else ""


def bundled() -> Iterator[Finding]:
    """The models that come with the package; told without what they are loaded with."""
    for name, folder in BUNDLED.items():
        path = Path(spikemba.__file__).parent / "weights" / folder / "model.safetensors"
        if path.is_file():
            yield Finding(name, "ok", f"{path.stat().st_size / 1e6:.1f} MB")
        else:
            yield Finding(name, "fault", f"{path} is missing; install the package again")


def weights() -> Iterator[Finding]:
    """Where the weights of each encoder's default model are on this machine; nobody is asked for them."""
    from spikemba.encoders.registry import encoder_names, find_encoder
    from spikemba.user_folders import load_settings

    own, names = load_settings().weights, encoder_names()
    for name in names:
        with suppress(SpikeMbaError):  # which the line of the encoder itself tells
            if (source := find_encoder(name).source) is not None:
                yield Finding(f"{name} weights", *_weights(name, source, own.get(name)))
    for unknown in sorted(asked for asked in own if asked.partition(":")[0] not in names):
        problem = f"the settings name {own[unknown]} as weights of it, and no encoder is called so"
        yield Finding(f"{unknown} weights", "fault", f"{problem}; {names_like(unknown, names)}")


def _weights(name: str, find: "Callable[[], Source]", own: Path | None) -> tuple[State, str]:
    """State and detail of an encoder's weights.  own: where the settings say that they are."""
    from spikemba.encoders.base import EncoderOptions
    from spikemba.encoders.weights import weights_here
    from spikemba.user_folders import weights_folder

    if own is not None:
        return ("ok", str(own)) if own.exists() else ("fault", f"{own}, which the settings name, is not there")
    try:
        source = find()
        path = weights_here(source, EncoderOptions(folder=weights_folder()))
    except Exception as error:  # of a library, or of an encoder that another package brings
        return "fault", str(error) if isinstance(error, SpikeMbaError) else cause(error)
    if path is not None:
        return "ok", str(path)
    if source.repository:
        where = f"https://huggingface.co/{source.repository}"
        return "absent", f"fetched from {where} on first use; offline, {_by_hand(name, source)}"
    return "absent", _by_hand(name, source)


def _by_hand(name: str, source: "Source") -> str:
    """How weights come to a machine that cannot fetch them."""
    from spikemba.user_folders import weights_folder

    if "." not in source.file.rpartition("/")[2]:  # a whole repository
        return f"name a folder that holds a copy of it with --weights {name}=FOLDER"
    place = f"put it into {weights_folder()}, or name it with --weights {name}=FILE"
    return f"get {source.file} from {source.address}; {place}"


def folders() -> Iterator[Finding]:
    """Where settings, weights and cached features go."""
    from spikemba.user_folders import cache_folder, settings_folder, weights_folder

    for name, folder in {"cache": cache_folder(), "weights": weights_folder(), "settings": settings_folder()}.items():
        yield Finding(name, *_writable(folder))


def _writable(folder: Path) -> tuple[Literal["ok", "fault"], str]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(existing, os.W_OK):
        return "ok", str(folder)
    return "fault", f"{folder} cannot be written"


BUNDLED = {"mini encoder": "mini", "mini checkpoint": "spikemba-mini"}
"""Folders of the models that come with the package."""
OF_NO_LIBRARY = ("bundled models",)
"""Sections that need nothing but the standard library, and so no process of their own."""
SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "machine": machine,
    "bundled models": bundled,
    "weights": weights,
    "folders": folders,
}
"""What is looked at after the probes, in the order of the report."""
LINES = {
    **dict.fromkeys(("threads", "gpu", "cpu kernels", "scan", "scan on gpu", "convolution on gpu"), "machine"),
    **dict.fromkeys(BUNDLED, "bundled models"),
    **dict.fromkeys(("cache", "settings"), "folders"),
}
"""Lines of the sections that can be asked for alone -> their section; on another machine there may be none of them."""
