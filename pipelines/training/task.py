"""What a training task is to the loop: a module, its examples, their loss, and how well it does."""

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from pipelines.shards import Shard
from pipelines.training.batch_plan import MicroBatch
from spikemba.datasets.base import Split


def held_out_splits(validates: bool, watch_test: bool) -> list[Split]:
    """Splits that a training loads beside its own: `val` where the data have one, `test` where it is watched."""
    wanted: dict[Split, bool] = {"val": validates, "test": watch_test}
    return [split for split, there in wanted.items() if there]


def nothing_learned(module: nn.Module) -> Tensor:
    """A zero that every parameter which learns took part in, shape ().

    The loss of a process without an example of its own: it takes part in the exchange of gradients all the same.
    """
    return torch.as_tensor(sum(parameter.sum() * 0 for parameter in module.parameters() if parameter.requires_grad))


class BatchLike(Protocol):
    """What a task loads and computes its loss of."""

    def to(self, device: torch.device) -> Self:
        """The same on `device`."""


class LossOutput(NamedTuple):
    """What the loss of a micro-batch came to.

    With several processes each has a share of it, and what they return is summed: divide by counts of the whole
    (`len(micro_batch.indices)`, or `spikemba.ops.ranks.all_reduce`), so that the sum is what one process would compute.
    """

    loss: Tensor
    """A scalar."""
    terms: Mapping[str, Tensor] = {}
    """Scalars to show, averaged over the epoch."""
    diagnostics: Mapping[str, Tensor] = {}
    """Tensors of any one shape per name, means over this process's examples; averaged and handed to `describe`."""


class OfSplits:
    """What a task with a training set and held-out splits says of their sizes."""

    training: Sized
    held_out: Mapping[Split, object]

    @property
    def n_examples(self) -> int:
        """Training examples."""
        return len(self.training)

    def check_data(self) -> None:
        """Nothing, where no task says otherwise."""

    def data_digests(self) -> dict[str, str]:
        """None, where no task says otherwise."""
        return {}

    def metrics(self) -> Sequence[str]:
        """Not known before the first validation, where no task says otherwise."""
        return ()

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that are scored; the test split alone chooses nothing, so it is not scored alone."""
        return tuple(self.held_out) if "val" in self.held_out else ()


class Task(Protocol):
    """A thing to learn. The loop that calls it knows nothing else about it.

    `train.checkpoint_blocks` is the task's to obey; all other settings of TrainConfig are the loop's.
    """

    @property
    def module(self) -> nn.Module:
        """What is optimised; `loss` and `predict` run it. The loop moves it to its device."""

    @property
    def n_examples(self) -> int:
        """Training examples."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """Scored after an epoch: () for none, ("val",), or ("val", "test"); `val` chooses the best epoch."""

    @property
    def block(self) -> int:
        """Examples that one forward pass of `predict` reads.

        Shards are made of whole blocks, so several processes compute products of the same sizes as one, and their
        predictions are equal to the last bit.
        """

    @property
    def dense(self) -> Sequence[nn.Module]:
        """Parts for `train.compile`: those that torch.compile takes whole; the kernels stay in them as they are."""

    def check_data(self) -> None:
        """Read what training will read, where that is quick, and raise SpikeMbaError for what is wrong with it."""

    def data_digests(self) -> Mapping[str, str]:
        """A short mark of each part of the training data, by what people call it; see data_digest.py."""

    def metrics(self) -> Sequence[str]:
        """What `score` of the validation will measure; () where that is not known, or nothing is."""

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups; see `optimizer.decay_groups`. A group's `lr_scale` multiplies its learning rate."""

    def load(self, micro_batch: MicroBatch) -> BatchLike:
        """The batch of micro_batch.own, also when that is empty; runs in the loader's processes."""

    def loss(self, batch: Any) -> LossOutput:
        """This process's share of the loss, in training mode."""

    def predict(self, split: Split, shard: Shard) -> Sequence[Any]:
        """What the module says to the examples shard.indices(n) of the n of a split; to be pickled."""

    def score(self, split: Split, rows: Sequence[Any]) -> dict[str, float]:
        """Metrics of the predictions for the whole split, in its order; the higher the better."""

    def save(self, folder: Path, trained: Mapping[str, Any]) -> None:
        """Write a checkpoint of the module as it is; `trained` says where it comes from."""

    def describe(self, diagnostics: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the diagnostics' means add to an epoch's row of metrics.jsonl."""

    def warnings(self, row: Mapping[str, Any]) -> list[str]:
        """What a person should look at in a row."""
