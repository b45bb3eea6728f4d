"""Every script in examples/ runs and says what it should."""

import importlib.util
from pathlib import Path

import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def test_a_transformers_mamba_gives_the_same_logits_on_our_scan(capsys):
    example = load("transformers_mamba")
    example.main(None, 40)
    shown = capsys.readouterr().out
    assert float(shown.split("difference of the logits ")[1].split()[0]) < 1e-4
    model = example.MambaForCausalLM(example.SMALL).eval()
    tokens = torch.randint(500, (1, 12))
    plain = model.generate(tokens, max_new_tokens=6, do_sample=False)
    with example.spikemba_scan():
        assert torch.equal(model.generate(tokens, max_new_tokens=6, do_sample=False), plain)
