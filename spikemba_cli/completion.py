"""Names that the Tab key completes: of encoders, checkpoints, runs and configurations. Nothing here imports torch.

`spikemba --install-completion` sets it up; where no name fits, the shell completes files.
"""

from collections.abc import Iterable
from pathlib import Path

import spikemba


def encoders(incomplete: str) -> list[str]:
    """Of those joined by + the last one is completed."""
    from spikemba.encoders.registry import encoder_names

    before, plus, _ = incomplete.rpartition("+")
    return _fitting((f"{before}{plus}{name}" for name in encoder_names()), incomplete)


def weights(incomplete: str) -> list[str]:
    """`ENCODER=`, behind which a file comes."""
    from spikemba.encoders.registry import encoder_names

    return _fitting((f"{name}=" for name in encoder_names()), incomplete)


def bundled() -> list[str]:
    """Names of the grounding models that come with the package."""
    folder = Path(spikemba.__file__).parent / "weights"
    return sorted(path.name.removeprefix("spikemba-") for path in folder.glob("spikemba-*"))


def checkpoints(incomplete: str) -> list[str]:
    """Bundled models and run folders."""
    return [*_fitting(bundled(), incomplete), *runs(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Run folders below runs/, and below the folder that is being typed; names with blanks are left to the shell."""
    typed, slash, _ = incomplete.rpartition("/")
    found: set[str] = set()
    for root in {Path("runs"), Path(typed) if slash else Path("runs")}:
        for pattern in ("*/config.yaml", "*/*/config.yaml", "*/study.json"):
            try:
                found.update(path.parent.as_posix() for path in root.glob(pattern))
            except OSError:
                continue
    return _fitting(sorted(name for name in found if not any(sign.isspace() for sign in name)), incomplete)


def configurations(incomplete: str) -> list[str]:
    """Names that `train --dataset` knows."""
    from pipelines.runs.config import config_names

    return _fitting(config_names(), incomplete)


def benchmarks(incomplete: str) -> list[str]:
    """Names of benchmarks, by whose metrics a file can be scored."""
    from spikemba.datasets.registry import benchmark_names

    return _fitting(benchmark_names(), incomplete)


def forms(incomplete: str) -> list[str]:
    """Of predictions, by any name."""
    from spikemba.datasets.predictions.forms import form_names

    return _fitting(form_names(), incomplete)


def conversions(incomplete: str) -> list[str]:
    """What predictions can be converted to."""
    from pipelines.grounding.formats import FORMATS

    return [*forms(incomplete), *_fitting([name for name in FORMATS if name != "json"], incomplete)]


def splits(incomplete: str) -> list[str]:
    """Of annotations."""
    return _fitting(("train", "val", "test"), incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
