"""What VideoMamba-mini learns of motion alone: accuracy on held-out videos, by backward scan, and what order is worth.

    python benchmarks/bench_motions.py --out build/bench_motions            # `--small` for a check in a minute

For each set (moves: twelve classes; orders: eight) the mini of configs/motions.yaml is trained from the same seed with
each kind of backward scan. Only the reversal of the whole sequence has a class token in the paper; here all read the
mean over the tokens, and none has one. Every network is then shown the test videos as they are, with their frames in
random order, and with one frame in place of all. `pair` is the share of videos that are likelier their own class than
its reversal; chance is a half. In `orders` all classes have the same frames, so without their order chance is one in
eight; in `moves` the frames still tell one pair from another. One JSON line per case.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from record import Record, options

SETS, REVERSALS = ("moves", "orders"), ("spatio_temporal", "spatial", "temporal")
SMALL = {"train": 4, "val": 2, "test": 4, "epochs": 1}


def train_case(out: Path, which: str, reversal: str, epochs: int) -> dict[str, object]:
    """Train one network, unless it is there, and show it the test videos in three ways."""
    import torch

    from pipelines.runs.config import config_path
    from pipelines.runs.run_dir import RunDir
    from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
    from pipelines.tasks.registry import load_run_config
    from pipelines.tasks.train import train

    changes = ["model.class_token=false", f"model.reversal={reversal}", f"train.epochs={epochs}"]
    config = load_run_config(config_path("motions"), changes, prepared=out / which / "config.yaml")
    assert isinstance(config, RecognitionConfig)
    torch.set_num_threads(1)
    run = out / f"run_{which}_{reversal}"
    train(config, run, resume=True)
    rows = RunDir(run).rows()
    spent = sum(row["seconds"] + row.get("validation_seconds", 0) for row in rows)
    return {"set": which, "reversal": reversal, "epochs": len(rows), "seconds": round(spent), **tests(run, config)}


def tests(run: Path, config: object) -> dict[str, float]:
    """Accuracy on the test videos: in order, shuffled, and with one frame only."""
    import torch
    from torch import Tensor

    shuffle = torch.Generator().manual_seed(0)

    def shuffled(clip: Tensor) -> Tensor:
        return clip[torch.randperm(len(clip), generator=shuffle)]

    def one_frame(clip: Tensor) -> Tensor:
        return clip[torch.randint(len(clip), (1,), generator=shuffle)].expand_as(clip)

    found = {}
    for name, change in {"in_order": lambda clip: clip, "shuffled": shuffled, "one_frame": one_frame}.items():
        top1, pair = accuracy(run, config, change)
        found |= {f"{name}_top1": top1, f"{name}_pair": pair}
    return found


def accuracy(run: Path, config: object, change: Callable) -> tuple[float, float]:
    """Top-1 over all classes, and over a video's own class and its reversal; in percent."""
    import torch

    from spikemba.datasets.labelled.pairs import VideoDataset
    from spikemba.datasets.synthetic.motions import reversed_label
    from spikemba.model.video_mamba.checkpoint import load_video_checkpoint
    from spikemba.recognition import probabilities

    loaded = load_video_checkpoint(run)
    data = VideoDataset(config.data, "test", labels=loaded.labels)
    clips = torch.stack([change(data[i].clips[0]) for i in range(len(data))])
    scores, truth = probabilities(loaded.model, clips, loaded.preprocessing), torch.tensor(data.numbers)
    other = torch.tensor([data.labels.index(reversed_label(data.labels[k])) for k in data.numbers])
    own = scores.gather(1, truth[:, None])[:, 0]
    right, likelier = scores.argmax(1) == truth, own > scores.gather(1, other[:, None])[:, 0]
    return round(100 * right.float().mean().item(), 1), round(100 * likelier.float().mean().item(), 1)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench_motions"))
    parser.add_argument("--train", type=int, default=200, help="training videos per class")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--reversals", nargs="*", default=list(REVERSALS))
    parser.add_argument("--small", action="store_true", help="only check that everything runs")
    parser.add_argument("--case", nargs=2, metavar=("SET", "REVERSAL"), help="one case in this process")
    arguments = parser.parse_args()
    epochs = SMALL["epochs"] if arguments.small else arguments.epochs
    if arguments.case:
        print(json.dumps(train_case(arguments.out, *arguments.case, epochs)))
        return
    from pipelines.preparation.motions_corpus import MotionsConfig
    from pipelines.preparation.prepare_videos import prepare_motions

    record = Record(arguments)
    for which in arguments.sets:
        sizes = SMALL if arguments.small else {"train": arguments.train, "val": 10, "test": 50}
        started = time.perf_counter()
        corpus = MotionsConfig.parse({"which": which, **{k: v for k, v in sizes.items() if k != "epochs"}})
        prepare_motions(arguments.out / which, corpus)
        print(f"# {which}: drawn in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        for reversal in arguments.reversals:
            case = ["--out", str(arguments.out), "--epochs", str(epochs), "--case", which, reversal]
            line = subprocess.run(
                [sys.executable, __file__, *case], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            print(line.strip(), flush=True)
            row = json.loads(line)
            name = f"{which}, {sizes['train']} videos a class, backward scan reverses {reversal}"
            record.quality(name, {key: one for key, one in row.items() if key.endswith(("_top1", "_pair"))})
            record.speed(name, {"train_s": row["seconds"]})
    record.keep()


if __name__ == "__main__":
    main()
