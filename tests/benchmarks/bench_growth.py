"""How time and memory of one inference grow with the length of the video, beside attention in place of the scan.

    python tests/benchmarks/bench_growth.py

Widths of the benchmark configurations: clips of 2818 features, 32 tokens of 512, width 256, 6 blocks, 8 spike steps.
Each length runs in a process of its own, so that its peak memory is its own. One JSON line per case.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

LENGTHS = (75, 300, 1200, 4800)
MIXERS = {"scan": {}, "attention": {"kind": "attention", "n_heads": 8}}


def measure(mixer: str, n_clips: int, repeats: int) -> dict[str, float]:
    """Median seconds of an inference, and MiB of peak memory above the loaded model."""
    import torch

    from spikemba.batch import Batch, pad
    from spikemba.model import SpikeMba, SpikeMbaConfig

    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"mixer": MIXERS[mixer]}), 2816, 512).eval()
    batch = Batch(*pad([torch.randn(n_clips, 2816).numpy()]), *pad([torch.randn(32, 512).numpy()]))
    with torch.inference_mode():
        model(Batch(*pad([torch.randn(8, 2816).numpy()]), *pad([torch.randn(32, 512).numpy()])))
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model(batch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            model(batch)
            seconds.append(time.perf_counter() - started)
    return {"ms": 1e3 * sorted(seconds)[repeats // 2], "mib": (peak - loaded) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=2, metavar=("MIXER", "CLIPS"), help="measure one case in this process")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--mixers", nargs="*", default=list(MIXERS))
    arguments = parser.parse_args()
    if arguments.case:
        mixer, n_clips = arguments.case[0], int(arguments.case[1])
        print(json.dumps({"mixer": mixer, "clips": n_clips, **measure(mixer, n_clips, arguments.repeats)}))
        return
    for mixer in arguments.mixers:
        for n_clips in LENGTHS:
            case = [sys.executable, __file__, "--case", mixer, str(n_clips), "--repeats", str(arguments.repeats)]
            print(subprocess.run(case, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
