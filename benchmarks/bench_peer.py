"""Training steps and answers beside CG-DETR's own code, in turns in one process: pairs a second, milliseconds, memory.

    git clone https://github.com/wjun0830/CGDETR PEER
    OMP_PROC_BIND=true python benchmarks/bench_peer.py PEER [--rounds 3] [--set model.n_blocks=6] [--only step]

Both networks as their QVHighlights recipes make them: 32 pairs of 75 clips x 2816 (+ 2) features and 32 tokens x 512,
drawn at random; losses, backward pass, clipping and optimiser are in a step, loading is not. Answers are one forward
pass in inference mode: of one sentence about 75, 300 and 1,800 clips, and of 32 sentences about one video of 75, per
sentence. Peak memory is that of a process that does nothing else, the interpreter and its libraries included.

The peer needs nothing but torch, numpy and scipy. Ratios are medians of the rounds' ratios, ours to theirs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from record import Record, options
from torch import Tensor, nn

from pipelines.runs.config import config_path
from pipelines.tasks.grounding.config import load_config
from pipelines.training.optimizer import decay_groups, make_optimizer
from spikemba.batch import Batch, Targets
from spikemba.grounding import in_precision
from spikemba.losses import grounding_loss
from spikemba.model import SpikeMba
from spikemba.ops.precision import autocast

PAIRS, CLIPS, TOKENS, VIDEO, QUERY = 32, 75, 32, 2816, 512
ANSWERS = {75: 20, 300: 8, 1800: 3}
"""Clips of a video -> answers in a round."""


class Network(Protocol):
    """What is measured of one."""

    def step(self) -> None:
        """One step of the optimiser."""

    def answer(self, n_clips: int, n_sentences: int) -> Callable[[], object]:
        """What answers sentences about one video."""


def features(n_pairs: int, n_clips: int) -> tuple[Tensor, Tensor]:
    """Clips and tokens, each of length 1, as both normalise them."""
    draw = torch.Generator().manual_seed(0)
    clips, tokens = (torch.randn(n_pairs, n, f, generator=draw) for n, f in ((n_clips, VIDEO), (TOKENS, QUERY)))
    return nn.functional.normalize(clips, dim=-1), nn.functional.normalize(tokens, dim=-1)


class Ours:
    """SpikeMba with configs/qvhighlights.yaml."""

    def __init__(self, settings: list[str], device: str = "cpu") -> None:
        data = ["data.train=none", "data.video_features=[none]", "data.text_features=none", f"train.device={device}"]
        self.config, self.device = load_config(config_path("qvhighlights"), [*data, *settings]), torch.device(device)
        torch.manual_seed(0)
        self.model = SpikeMba(self.config.model, VIDEO, QUERY).to(self.device)
        groups = decay_groups(self.model, self.config.train.weight_decay)
        self.optimizer = make_optimizer(groups, self.config.train)
        clips, tokens = features(PAIRS, CLIPS)
        foreground = torch.zeros(PAIRS, CLIPS, dtype=torch.bool)
        foreground[:, 20:40] = True
        window = torch.tensor([20 / CLIPS, 40 / CLIPS]).expand(PAIRS, CLIPS, 2)
        one, pairs = torch.ones(PAIRS, dtype=torch.bool), torch.arange(PAIRS)
        targets = Targets(foreground, window, 6.0 * foreground, one, pairs, pairs, 12)
        self.batch = self._batch(clips, tokens, targets)

    def _batch(self, clips: Tensor, tokens: Tensor, targets: Targets | None = None) -> Batch:
        masks = (torch.ones(x.shape[:2], dtype=torch.bool) for x in (clips, tokens))
        return Batch(clips, next(masks), tokens, next(masks), targets).to(self.device)

    def loss(self) -> Tensor:
        """Of the batch, as a number."""
        with autocast(self.device, self.config.train.precision):
            return grounding_loss(self.model(self.batch), self.batch, self.config.loss)[0]

    def step(self) -> None:
        """As pipelines.training.loop does it."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimizer.step()

    def answer(self, n_clips: int, n_sentences: int) -> Callable[[], object]:
        """The network's prediction."""
        clips, tokens = features(n_sentences, n_clips)
        batch = self._batch(clips[:1], tokens)
        batch = replace(batch, video_of=torch.zeros(n_sentences, dtype=torch.int64, device=self.device))
        model, precision = in_precision(self.model.eval(), self.config.train.precision)

        def run() -> object:
            with torch.inference_mode(), autocast(self.device, precision):
                return model(batch)

        return run


class Peer:
    """CG-DETR with its QVHighlights script's arguments."""

    def __init__(self, checkout: Path) -> None:
        sys.path.insert(0, str(checkout))
        Tensor.cuda = lambda tensor: tensor  # type: ignore[method-assign, assignment] - it asks for it, whatever its device
        from cg_detr.config import BaseOptions  # type: ignore[import-not-found]
        from cg_detr.model import build_model  # type: ignore[import-not-found]

        options = BaseOptions()
        options.initialize()
        script = "--dset_name hl --ctx_mode video_tef --enc_layers 3 --dec_layers 3 --t2v_layers 2 --moment_layers 1"
        script += " --dummy_layers 2 --sent_layers 1 --max_v_l 75 --max_q_l 32 --bsz 32"
        self.options = options.parser.parse_args([*script.split(), "--v_feat_dim", str(VIDEO), "--t_feat_dim", "512"])
        self.options.v_feat_dim += 2  # what its options do for video_tef
        self.options.device = "cpu"
        torch.manual_seed(0)
        self.model, self.criterion = build_model(self.options)
        of_norm = self.options.lr
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=of_norm, weight_decay=self.options.wd)
        self.inputs, self.targets = self._batch(PAIRS, CLIPS)

    def _batch(self, n_pairs: int, n_clips: int) -> tuple[dict[str, Any], dict[str, Any]]:
        clips, tokens = features(n_pairs, n_clips)
        ends = torch.stack((torch.arange(n_clips) / n_clips, (torch.arange(n_clips) + 1) / n_clips), -1)
        clips = torch.cat((clips, ends.expand(n_pairs, -1, -1)), -1)
        inputs = {"src_txt": tokens, "src_txt_mask": torch.ones(tokens.shape[:2]), "src_vid": clips}
        inputs |= {"src_vid_mask": torch.ones(clips.shape[:2]), "qid": list(range(n_pairs))}
        inputs["vid"] = [f"video{i}_0.0_150.0" for i in range(n_pairs)]
        labels = torch.zeros(n_pairs, n_clips)
        labels[:, 20:40] = 6
        targets = {
            "span_labels": [{"spans": torch.tensor([[0.4, 0.2667]])} for _ in range(n_pairs)],
            "saliency_pos_labels": torch.tensor([[21, 22]] * n_pairs),
            "saliency_neg_labels": torch.tensor([[1, 60]] * n_pairs),
            "saliency_all_labels": labels,
            "relevant_clips": labels,
        }
        return inputs, targets

    def step(self) -> None:
        """As its train.py does it."""
        self.model.train()
        self.criterion.train()
        found = self.criterion(self.model(**self.inputs, targets=self.targets), self.targets)
        weight = self.criterion.weight_dict
        loss = sum(value * weight[name] for name, value in found.items() if name in weight)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.options.grad_clip)
        self.optimizer.step()

    def answer(self, n_clips: int, n_sentences: int) -> Callable[[], object]:
        """Its forward pass, without targets."""
        self.model.eval()
        inputs, _ = self._batch(n_sentences, n_clips)

        def run() -> object:
            with torch.inference_mode():
                return self.model(**inputs)

        return run


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The median of the wall times."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def in_turns(networks: dict[str, Network], rounds: int, only: str | None) -> dict[str, dict[str, list[float]]]:
    """Case -> network -> milliseconds of each round, after a round that is not counted."""
    found: dict[str, dict[str, list[float]]] = {}

    def note(case: str, runs: dict[str, Callable[[], object]], repeats: int, per: int = 1) -> None:
        if only is not None and only not in case:
            return
        for one in range(rounds + 1):
            for name, run in runs.items():
                ms = 1e3 * seconds(run, repeats if one else 1) / per
                if one:
                    found.setdefault(case, {}).setdefault(name, []).append(ms)

    note("training step", {name: network.step for name, network in networks.items()}, 3)
    for n_clips, repeats in ANSWERS.items():
        note(f"answer, {n_clips} clips", {k: one.answer(n_clips, 1) for k, one in networks.items()}, repeats)
    note("sentence of 32, 75 clips", {k: one.answer(75, 32) for k, one in networks.items()}, 4, per=32)
    return found


def keep(record: Record, rows: dict[str, dict[str, Any]]) -> None:
    """Record the milliseconds of the rounds, the ratios and the memory."""
    for case, row in rows.items():
        for name, value in row.items():
            who, ratio, _ = name.partition(" / ")
            metric = "times_the_peer" if ratio else "peak_mb" if "memory" in case else "ms"
            record.speed(f"{case.removesuffix(', MB')}: {who}", {metric: value})
    record.keep()


def main() -> None:
    """Print a table and one JSON line."""
    parser = options(__doc__)
    parser.add_argument("peer", type=Path, help="a checkout of CG-DETR's code")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--set", action="append", default=[], help="section.key=value, over configs/qvhighlights.yaml")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--half", action="store_true", help="also ours with train.precision=auto")
    parser.add_argument("--memory-of", choices=("ours", "auto", "peer"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    make: dict[str, Callable[[], Network]] = {"ours": lambda: Ours(["train.precision=fp32", *arguments.set])}
    if arguments.half or arguments.memory_of == "auto":
        make["auto"] = lambda: Ours(["train.precision=bf16", *arguments.set])
    make["peer"] = lambda: Peer(arguments.peer)
    if arguments.memory_of:
        network = make[arguments.memory_of]()
        for _ in range(3):
            network.step()
        status = Path("/proc/self/status").read_text()  # getrusage's maximum begins with that of the parent
        print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    record = Record(arguments)
    found = in_turns({name: one() for name, one in make.items()}, arguments.rounds, arguments.only)
    rows: dict[str, dict[str, Any]] = {}
    for case, of in found.items():
        rows[case] = {name: [round(ms, 2) for ms in values] for name, values in of.items()}
        for name in of:
            if name != "peer":
                ratios = [a / b for a, b in zip(of[name], of["peer"], strict=True)]
                rows[case][f"{name} / peer"] = round(statistics.median(ratios), 3)
    if arguments.only is None:
        command = [sys.executable, *sys.argv, "--memory-of"]
        rows["peak memory of training, MB"] = {
            name: round(float(subprocess.run([*command, name], check=True, capture_output=True, text=True).stdout))
            for name in make
        }
    for case, row in rows.items():
        print(f"{case:30}" + "   ".join(f"{name} {value}" for name, value in row.items()))
    keep(record, rows)
    print(json.dumps({"rows": rows, "threads": arguments.threads, "torch": torch.__version__, "set": arguments.set}))


if __name__ == "__main__":
    main()
