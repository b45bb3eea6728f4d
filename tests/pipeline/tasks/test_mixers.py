"""Networks of other state spaces go the whole way: trained, kept, and asked about a file."""

import pytest

from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import read_annotations
from spikemba.grounder.grounder import load


@pytest.mark.parametrize("kind", ["mamba2", "hydra"])
def test_a_network_of_another_state_space_is_trained_and_asked(kind, corpus, tiny, tmp_path):
    settings = [*tiny, "train.epochs=1", f"model.mixer.kind={kind}"]
    train(load_config(corpus / "config.yaml", settings), tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.model.config.mixer.kind == kind
    assert checkpoint.model.config.mixer.state_size == 64
    row = read_annotations(corpus / "test.jsonl")[0]
    found = load(tmp_path / "run").ground(corpus / "videos" / f"{row.video_id}.mp4", row.query)
    assert found.moments
    assert all(0 <= moment.start_s < moment.end_s <= found.duration_s for moment in found.moments)
