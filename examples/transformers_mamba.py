"""Run a Mamba language model of `transformers` on spikemba's scan: the same answers, sooner.

python examples/transformers_mamba.py                               # a small random model, nothing to download
python examples/transformers_mamba.py --model state-spaces/mamba-130m-hf --tokens 512
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from spikemba.libraries import library
from spikemba.ops import selective_scan_fn

with library("transformers"):
    from transformers import MambaConfig, MambaForCausalLM
    from transformers.models.mamba import modeling_mamba

SMALL = MambaConfig(vocab_size=500, hidden_size=128, num_hidden_layers=4, state_size=16)


@contextmanager
def spikemba_scan() -> Iterator[None]:
    """Inside, every Mamba layer of transformers scans with spikemba."""
    original = modeling_mamba.mamba_selective_scan

    def scan(*tensors: Tensor, **options: Any) -> Any:
        official = {k: v for k, v in options.items() if not k.startswith("use_")}  # which of their slow ways to take
        return selective_scan_fn(*tensors, **official)

    modeling_mamba.mamba_selective_scan = scan
    try:
        yield
    finally:
        modeling_mamba.mamba_selective_scan = original


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What the second of two runs returns, and its milliseconds."""
    run()
    start = time.perf_counter()
    return run(), 1e3 * (time.perf_counter() - start)


@torch.inference_mode()
def main(model_name: str | None, n_tokens: int) -> None:
    """Print both times and the largest difference of the logits."""
    torch.manual_seed(0)
    model = (MambaForCausalLM.from_pretrained(model_name) if model_name else MambaForCausalLM(SMALL)).eval()
    tokens = torch.randint(model.config.vocab_size, (1, n_tokens))
    expected, theirs = timed(lambda: model(tokens, use_cache=False).logits)
    with spikemba_scan():
        found, ours = timed(lambda: model(tokens, use_cache=False).logits)
        answer = model.generate(tokens[:, :8], max_new_tokens=8, do_sample=False)
    print(f"transformers {theirs:.0f} ms, spikemba {ours:.0f} ms for {n_tokens} tokens")
    print(f"largest difference of the logits {(found - expected).abs().max():.1e}")
    print(f"generated {answer[0, 8:].tolist()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder or name that transformers can load; by default a small random one")
    parser.add_argument("--tokens", type=int, default=512)
    arguments = parser.parse_args()
    main(arguments.model, arguments.tokens)
