"""The configuration of a run: what every training has, and that of grounding with the presets that fill it.

Precedence: defaults < preset < `base` of the YAML file < the file < `--set section.key=value` < the command's flags.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipelines.tasks.registry import GROUNDING, kind
from spikemba.config import Config, Tree, from_preset, load_over_base, merge, parse_overrides
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
    """Examples per optimiser step, such as video-query pairs, summed over all processes."""
    accumulate: PositiveInt = 1
    """Pieces of a batch that are computed one after another, for less memory; batch norms and negatives see a piece."""
    learning_rate: PositiveFloat = 2e-4
    """Highest learning rate."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """`adam` adds the decay to the gradient, as the source's Adam with weight decay does."""
    weight_decay: NonNegativeFloat = 1e-4
    """Not applied to biases, norms, slots, A_log and D."""
    clip_norm: PositiveFloat = 0.1
    """Gradients are scaled down to this global norm."""
    warmup: float = Field(0.05, ge=0, le=1)
    """Share of all steps over which the learning rate rises."""
    lowest_learning_rate: NonNegativeFloat = 0.0
    """Where the warm-up begins and the cosine ends."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """After the warm-up: stay, fall along a half cosine, or fall to a tenth at `drop_epoch`."""
    drop_epoch: PositiveInt | None = None
    """Epoch of the fall, for `step`."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of matrix products in training; scans, batch norms, neurons, losses and weights are in float32 always."""
    checkpoint_blocks: bool = False
    """Keep only the inputs of blocks and compute them again on the way back: less memory, a third more time."""
    compile: bool = False
    """Let torch.compile fuse the operations of the parts that are not kernels already; the first step takes longer."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay per step of an average of the weights, such as 0.999, which is then what is validated and saved."""
    validate_every: PositiveInt = 1
    """Epochs between two validations; the last epoch is always validated."""
    best_metric: str = "MR-full-mAP"
    """Key of the evaluation's `brief` that chooses the best checkpoint; the higher the better."""
    patience: PositiveInt | None = None
    """Validations without a new best after which training ends; None trains all epochs."""
    save_every_min: PositiveFloat = 10.0
    """Minutes between two states for resuming within an epoch; each epoch's end has one anyway."""
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


class AnyRunConfig(Config):
    """What the configurations of all kinds of training have."""

    task: str = GROUNDING
    """What is learned; decides which other sections there are."""
    name: str = "run"
    """Name of the run; `runs/<name>` is its folder unless --out says otherwise."""
    train: TrainConfig = TrainConfig()


class GrounderConfig(AnyRunConfig):
    """What every training with the grounding losses has."""

    preset: Literal["full", "paper"] = "full"
    """Values that the other sections start from."""
    data: DataConfig = DataConfig()
    model: SpikeMbaConfig = SpikeMbaConfig()
    loss: LossConfig = LossConfig()
    grounding: GroundingConfig = GroundingConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, tree: Any) -> Any:
        return from_preset(tree, PRESETS, "full")


class RunConfig(GrounderConfig):
    """Everything that decides the training of a grounding model on features."""

    task: Literal["grounding"] = "grounding"
    """Find the moments of a video that a sentence describes."""

    @model_validator(mode="after")
    def _similarity_needs_the_sentence(self) -> "RunConfig":
        if self.model.query_similarity and not self.data.sentence_token:
            raise ValueError(
                "model.query_similarity compares clips with the sentence; set data.sentence_token=true too"
            )
        return self


def load_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> RunConfig:
    """A grounding configuration: a YAML file with `section.key=value` overrides. Raises ConfigError with every fault.

    prepared: the YAML that `spikemba prepare` wrote; its data section stands over that of the file.
    """
    tree = merge(config_tree(path, prepared), parse_overrides(overrides))
    return RunConfig.parse(tree, str(path or "the configuration"))


def load_run_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> AnyRunConfig:
    """The same for any kind of training, by its `task`. Raises UnknownName for a task that there is not."""
    tree = merge(config_tree(path, prepared), parse_overrides(overrides))
    config_class: type[AnyRunConfig] = kind(str(tree.get("task", GROUNDING))).load("config")
    return config_class.parse(tree, str(path or "the configuration"))


def config_tree(path: Path | None, prepared: Path | None = None) -> Tree:
    """A YAML file over its base, if there is one, under the data section of the one that `spikemba prepare` wrote."""
    tree, written = ({} if one is None else load_over_base(one, config_folder()) for one in (path, prepared))
    return merge(tree, {"data": written.get("data", {})}) if prepared is not None else tree


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
    packages = Path(__file__).parents[1]
    installed = packages / "configs"
    return installed if installed.is_dir() else packages.parent / "configs"


def config_names() -> list[str]:
    """Names that `--dataset` knows."""
    return sorted(path.stem for path in config_folder().glob("*.yaml"))


def config_path(name: str) -> Path:
    """The YAML file of a benchmark. Raises UnknownName with the list of names."""
    path = config_folder() / f"{name}.yaml"
    if name not in config_names():
        raise UnknownName("dataset", name, config_names())
    return path
