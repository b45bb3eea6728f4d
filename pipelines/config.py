"""The configuration of a run: data, model, loss, training, grounding; and the presets that fill it.

Precedence: defaults < preset < the YAML file < `--set section.key=value` < the few flags of a command.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from spikemba.config import Config, Tree, load_yaml, merge, parse_overrides
from spikemba.datasets.base import DataConfig
from spikemba.errors import ConfigError, UnknownName
from spikemba.grounding import GroundingConfig
from spikemba.losses import LossConfig
from spikemba.model import SpikeMbaConfig

PRESETS: dict[str, Tree] = {
    # The source's three losses, its closed gate and its optimiser; saliency alone ranks the moments.
    "paper": {
        "model": {"relevant_mamba": {"gate_bias": 0.0}},
        "loss": {"foreground": 0.0, "overlap": 0.0, "negative_pair": 0.0, "proposal": 0.0},
        "train": {"optimizer": "adam"},
        "grounding": {"score": "saliency"},
    },
    # What the source leaves unsaid, filled in from its ancestors and from measurements; the defaults.
    "full": {},
}


class TrainConfig(Config):
    """How the optimiser runs."""

    epochs: PositiveInt = 200
    """Passes over the training pairs."""
    batch_size: PositiveInt = 64
    """Video-query pairs per optimiser step, summed over all processes."""
    learning_rate: PositiveFloat = 2e-4
    """Highest learning rate."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """`adam` adds the decay to the gradient, as the source's Adam with weight decay does."""
    weight_decay: NonNegativeFloat = 1e-4
    """Not applied to biases, norms, slots, A_log and D."""
    clip_norm: PositiveFloat = 0.1
    """Gradients are scaled down to this global norm."""
    warmup: float = Field(0.05, ge=0, le=1)
    """Share of all steps over which the learning rate rises from zero."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """After the warm-up: stay, fall to zero along a half cosine, or fall to a tenth at `drop_epoch`."""
    drop_epoch: PositiveInt | None = None
    """Epoch of the fall, for `step`."""
    validate_every: PositiveInt = 1
    """Epochs between two validations; the last epoch is always validated."""
    best_metric: str = "MR-full-mAP"
    """Key of the evaluation's `brief` that chooses the best checkpoint; the higher the better."""
    watch_test: bool = False
    """Also score the test split at each validation, and keep its best epoch apart: the number that papers print."""
    workers: NonNegativeInt = 0
    """Processes that load features; 0 loads in the training process, best for features that fit in memory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU if there is one."""
    seed: NonNegativeInt = 2018
    """Of weights, shuffling and dropout; the ancestors' value."""

    @model_validator(mode="after")
    def _step_needs_an_epoch(self) -> "TrainConfig":
        if self.schedule == "step" and self.drop_epoch is None:
            raise ValueError("schedule is 'step' but drop_epoch is not given; set it, or choose 'constant' or 'cosine'")
        return self


class RunConfig(Config):
    """Everything that decides a training run."""

    name: str = "run"
    """Name of the run; `runs/<name>` is its folder unless --out says otherwise."""
    preset: Literal["full", "paper"] = "full"
    """Values that the other sections start from."""
    data: DataConfig = DataConfig()
    model: SpikeMbaConfig = SpikeMbaConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    grounding: GroundingConfig = GroundingConfig()

    @model_validator(mode="after")
    def _similarity_needs_the_sentence(self) -> "RunConfig":
        if self.model.query_similarity and not self.data.sentence_token:
            raise ValueError(
                "model.query_similarity compares clips with the sentence; set data.sentence_token=true too"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return merge(PRESETS.get(str(tree.get("preset", "full")), {}), tree)


def load_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> RunConfig:
    """The configuration of a YAML file with `section.key=value` overrides. Raises ConfigError with every fault.

    prepared: the YAML that `spikemba prepare` wrote; its data section stands over that of the file.
    """
    tree = load_yaml(path) if path is not None else {}
    if prepared is not None:
        tree = merge(tree, {"data": load_yaml(prepared).get("data", {})})
    return RunConfig.parse(merge(tree, parse_overrides(overrides)), str(path or "the configuration"))


def prepared_config(dataset: str | None, folder: Path | None = None) -> Path | None:
    """The YAML of a prepared benchmark: in `folder`, or in data/<dataset> if it was prepared there.

    Raises ConfigError when `folder` was given and holds none.
    """
    if folder is None:
        usual = Path("data") / (dataset or "") / "config.yaml"
        return usual if dataset and usual.is_file() else None
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError("--data", [f"{folder} holds no config.yaml; make it with `spikemba prepare`"])
    return path


def config_folder() -> Path:
    """Where the YAML files of the benchmarks lie: in the installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "configs"
    return installed if installed.is_dir() else here.parent / "configs"


def config_names() -> list[str]:
    """Names that `--dataset` knows."""
    return sorted(path.stem for path in config_folder().glob("*.yaml"))


def config_path(name: str) -> Path:
    """The YAML file of a benchmark. Raises UnknownName with the list of names."""
    path = config_folder() / f"{name}.yaml"
    if name not in config_names():
        raise UnknownName("dataset", name, config_names())
    return path
