"""What the configurations of all kinds of training have, and where their YAML files lie."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from spikemba.config import Config, Tree, load_over_base, merge, parse_overrides
from spikemba.errors import ConfigError, UnknownName

GROUNDING = "grounding"
"""The task of a configuration that names none."""


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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Of matrix products in training; scans, batch norms, neurons, losses and weights are in float32 always. `auto` is
    bf16 where the processor or the GPU has products in it, else fp32; a run keeps to what it was at its start."""
    checkpoint_blocks: bool = False
    """Keep only the inputs of blocks and compute them again in the backward pass: less memory, a third more time."""
    compile: bool = False
    """Let torch.compile fuse what stands around the kernels, which stay in; the first step takes longer."""
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


C = TypeVar("C", bound=Config)


def config_tree(path: Path | None, prepared: Path | None = None) -> Tree:
    """A YAML file over its base, if there is one, under the data section of the one that `spikemba prepare` wrote."""
    tree, written = ({} if one is None else load_over_base(one, config_folder()) for one in (path, prepared))
    if prepared is None:
        return tree
    # null queries are of one corpus: those of the file are none of the prepared one's
    nulls = {key: None for key in tree.get("data", {}) if key.endswith("_nulls")}
    return merge(tree, {"data": {**nulls, **written.get("data", {})}})


def parse_over(kind: type[C], tree: Tree, overrides: Sequence[str], source: str) -> C:
    """The configuration of a tree under `section.key=value` overrides.

    Raises ConfigError with every fault: of --set where the tree alone has none, else of the source.
    """
    given = parse_overrides(overrides)
    try:
        return kind.parse(merge(tree, given), source)
    except ConfigError as error:
        if not given or not _is_whole(kind, tree):
            raise
        raise ConfigError("--set", error.faults) from None


def _is_whole(kind: type[Config], tree: Tree) -> bool:
    """Whether there is no fault in a tree."""
    try:
        kind.parse(tree)
    except ConfigError:
        return False
    return True


def prepared_config(dataset: str | None, folder: Path | None = None) -> Path | None:
    """The YAML of a prepared benchmark: in `folder`, or in data/<dataset> if it was prepared there.

    Raises ConfigError when `folder` was given and holds none.
    """
    if folder is None:
        usual = Path("data") / (dataset or "") / "config.yaml"
        return usual if dataset and usual.is_file() else None
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError("--data", [f"{folder} holds no config.yaml; `spikemba prepare --help` lists what makes one"])
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
        raise UnknownName("dataset", name, config_names(), "`spikemba config list` names all")
    return path
