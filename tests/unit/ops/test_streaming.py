"""A stream, a few positions at a time, gives what the whole sequence gives."""

import pytest
import torch

from spikemba.errors import ConfigError
from spikemba.model.mamba_block import MambaMixer, MixerConfig


@pytest.mark.parametrize("native", ["0", ""])
@pytest.mark.parametrize("pieces", [[1] * 19, [7, 1, 11], [19]], ids=str)
@pytest.mark.parametrize("gated", [False, True])
@torch.no_grad()
def test_steps_equal_the_full_scan(pieces, gated, native, monkeypatch):
    monkeypatch.setenv("SPIKEMBA_NATIVE", native)
    torch.manual_seed(0)
    mixer = MambaMixer(24, MixerConfig(directions="forward"), gate="other" if gated else "input")
    x = torch.randn(2, 19, 24)
    gate = torch.randn(2, 19, 24) if gated else None
    whole, state, first = mixer(x, None, gate), None, 0
    for size in pieces:
        rows = slice(first, first + size)
        out, state = mixer.step(x[:, rows], state, None if gate is None else gate[:, rows])
        torch.testing.assert_close(out, whole[:, rows], rtol=1e-5, atol=1e-6)
        first += size


def test_a_mixer_that_reads_the_future_cannot_stream():
    with pytest.raises(ConfigError, match="a stream needs 'forward'"):
        MambaMixer(8, MixerConfig()).step(torch.ones(1, 1, 8), None)
