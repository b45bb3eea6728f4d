"""One optimiser step and one evaluation, alone or as one of two processes; run as a script by test_distributed.

Prints the names of the threads that are left when the group is left.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=... python shared_batch.py CONFIG OUT SETTINGS...
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.events import Quiet
from pipelines.runs.run_dir import RunDir
from pipelines.shards import Shard
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.training.distributed import gather_shards, joined, ranks
from pipelines.training.loop import _Loop

# 21 pairs: batches of 8, 8 and 5, so that two processes have 3 and 2 of the last; of 20 and 1, of which one has none
CASES = {
    "even": ["grounding.batch_size=4"],
    "uneven": ["train.batch_size=8", "loss.negative_pair=1", "loss.negatives_norm=batch"],
    "two passes": ["train.batch_size=8", "loss.negative_pair=1", "model.heads.quality=true", "model.heads.edges=true"],
    "one pair": ["train.batch_size=20"],
    "in pieces": ["train.batch_size=21", "train.accumulate=2"],
    "blocks recomputed": ["train.batch_size=21", "train.checkpoint_blocks=true", "loss.negative_pair=1"],
    "printed": ["train.batch_size=7", "loss.contrastive_form=printed", "preset=paper"],
}


def last_step(config: RunConfig, *, some_null: bool = False) -> dict[str, torch.Tensor]:
    """Gradients, buffers and losses after the last step of an epoch, by name.

    some_null: every other query has no moment.
    """
    torch.manual_seed(0)
    task = GroundingTask(config)
    for i in range(0, len(task.training) if some_null else 0, 2):
        shown = task.training.annotations[i]
        task.training.annotations[i] = replace(shown, windows=(), relevant_clips=(), ratings=())
    loop = _Loop(task, config.train, RunDir(Path()), Quiet())
    task.module.train()
    step = list(loop.plan.steps(0))[-1]
    loop._optimizer_step(step, loop._batches([step]))
    found = {name: p.grad for name, p in task.module.named_parameters() if p.grad is not None}
    found |= {name: buffer.clone() for name, buffer in task.module.named_buffers()}
    sums = loop.state.state_dict()["sums"]
    return found | {f"sum {name}": value for of in ("totals", "terms") for name, value in sums[of].items()}


def answers(config: RunConfig) -> list[str]:
    """What a network of random weights answers to the test split, every digit of it."""
    torch.manual_seed(0)
    task = GroundingTask(config)
    rows = gather_shards(task.predict("test", Shard(ranks().index, ranks().count, task.block)), task.block)
    return [repr(row) for row in rows]


def everything(config_file: Path, settings: list[str]) -> dict[str, object]:
    """All cases."""
    configs = {name: load_config(config_file, [*settings, *more]) for name, more in CASES.items()}
    steps = {name: last_step(config) for name, config in configs.items()}
    steps |= {f"null queries, {name}": last_step(configs[name], some_null=True) for name in ("uneven", "printed")}
    return {"steps": steps, "answers": answers(configs["even"])}


if __name__ == "__main__":
    with joined("cpu") as here:
        result = everything(Path(sys.argv[1]), sys.argv[3:])
        if here.first:
            torch.save(result, sys.argv[2])
    print(*(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")))  # its threads
