"""TensorBoard, where it is installed: every number of an epoch's row, which metrics.jsonl holds in any case."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.events import TrainEvents

_ONLY_ROWS = "the numbers of each epoch go to metrics.jsonl alone:"


class TensorBoardLog:
    """Scalars of a run; nothing is written without a writer."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def write(self, row: Mapping[str, Any]) -> None:
        """The numbers of a row under its epoch: those at its top as `train/name`, others as `section/name`."""
        if self._writer is None:
            return
        for name, value in row.items():
            if isinstance(value, Mapping):
                for inner, number in _flat(value):
                    self._writer.add_scalar(f"{name}/{inner}", number, row["epoch"])
            elif isinstance(value, int | float) and name != "epoch":
                self._writer.add_scalar(f"train/{name}", value, row["epoch"])
        self._writer.flush()


@contextmanager
def tensorboard_log(folder: Path, done: int, events: TrainEvents, *, wanted: bool) -> Iterator[TensorBoardLog]:
    """The log in a run folder after `done` epochs; what it holds of later ones, from a run that died, is hidden.

    Where TensorBoard is absent or broken, `events` hears so once and the log keeps nothing.
    """
    writer = _writer(folder, done, events) if wanted else None
    try:
        yield TensorBoardLog(writer)
    finally:
        if writer is not None:
            writer.close()


def _writer(folder: Path, done: int, events: TrainEvents) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # whatever a broken package raises, training goes on
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorboard":
            events.warn(f"{_ONLY_ROWS} TensorBoard is not installed; `pip install tensorboard` adds its files")
        else:
            events.warn(f"{_ONLY_ROWS} TensorBoard cannot be imported ({error}); `spikemba doctor` looks closer")
        return None
    return SummaryWriter(str(folder), purge_step=done + 1 if done else None)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
