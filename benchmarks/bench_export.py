"""An exported grounder in onnxruntime beside the network it was made of, on this processor.

    OMP_NUM_THREADS=1 python benchmarks/bench_export.py
    OMP_NUM_THREADS=1 python benchmarks/bench_export.py --checkpoint runs/mine --lengths 75 600 --repeats 40

One pair of so many clips and 12 tokens, random, as many threads in both. Both answer in turn; printed are the middle
times of the processor in ms, and the middle of onnxruntime's time over ours, pair of turns by pair of turns.
"""

import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from bench_packs import seconds
from record import Record, options

from spikemba.batch import Batch
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.exporting.folder import export

N_TOKENS = 12


@torch.inference_mode()
def in_turn(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Middle milliseconds of each, and the middle of the second's over the first's."""
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(repeats)]
    ours, others = ([1e3 * pair[i] for pair in pairs] for i in (0, 1))
    ratio = statistics.median(b / a for a, b in zip(ours, others, strict=True))
    return statistics.median(ours), statistics.median(others), ratio


def main() -> None:
    """Print one JSON line per length."""
    parser = options(__doc__)
    parser.add_argument("--checkpoint", default="mini", help="a run folder, a checkpoint folder or a bundled model")
    parser.add_argument("--lengths", type=int, nargs="+", default=[7, 30, 75, 400])
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    record = Record(arguments, also=["onnxruntime"])
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        graphs = export(arguments.checkpoint, "onnx", Path(folder) / "graphs").folder
        session = onnxruntime.InferenceSession(graphs / "grounder.onnx", how, providers=["CPUExecutionProvider"])
    model = load_checkpoint(arguments.checkpoint).model.eval()
    widths = [one.shape[2] for one in session.get_inputs()]
    for n_clips in arguments.lengths:
        video, tokens = (torch.randn(1, n, width) for n, width in zip((n_clips, N_TOKENS), widths, strict=True))
        masks = [torch.ones(z.shape[:2], dtype=torch.bool) for z in (video, tokens)]
        batch = Batch(video, masks[0], tokens, masks[1])
        theirs = partial(session.run, None, {"video": video.numpy(), "query_tokens": tokens.numpy()})
        ours, others, ratio = in_turn(partial(model, batch), theirs, arguments.repeats)
        figures = {"ours_ms": round(ours, 2), "onnxruntime_ms": round(others, 2), "onnxruntime/ours": round(ratio, 2)}
        case = f"{arguments.checkpoint}, {n_clips} clips"
        print(json.dumps({"case": case, **figures}), flush=True)
        record.speed(case, figures)
    record.keep()


if __name__ == "__main__":
    main()
