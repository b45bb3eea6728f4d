"""What an adapted encoder and its grounding model answer to raw videos, and how good that is."""

# Shapes: L clips.

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.runs.run_dir import run_around
from pipelines.scoring.asked_settings import refuse_other_sections, refuse_precision, with_settings
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation, evaluate_rows
from pipelines.shards import Shard
from pipelines.tasks.adaptation.config import RunConfig
from pipelines.tasks.adaptation.model import EncoderAndGrounder, encoder_name, raw_clips
from pipelines.tasks.adaptation.raw_clips import RawClips, RawVideoDataset
from pipelines.tasks.grounding.evaluate import Questions, data_as_trained, to_rows
from spikemba.checkpoints.grounding import find_checkpoint, load_checkpoint
from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.base import Split
from spikemba.encoders.base import folder_name
from spikemba.files import ENCODERS_FOLDER
from spikemba.grounding import Question, answer_questions
from spikemba.model.video_mamba.adaptation import AdaptedVideoMamba, adapt_model
from spikemba.model.video_mamba.checkpoint import load_video_checkpoint
from spikemba.progress import Report, reported, silent


class EncodedQuestions(Questions):
    """Questions whose videos are encoded when the first of them comes, and then kept as features."""

    def __init__(self, model: EncoderAndGrounder, dataset: RawVideoDataset, clips: RawClips, shard: Shard) -> None:
        super().__init__(dataset, shard)
        self._model, self._raw, self._clips = model, dataset, clips
        self._features: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}

    def question(self, index: int) -> Question:
        """One of them, with the features of its clips."""
        question = super().question(index)
        place = self.indices[index]
        video_id = self._raw.annotations[place].video_id
        if video_id not in self._features:
            self._features[video_id] = self._encoded(video_id)
        features = self._features[video_id][self._raw.clip_numbers(place)]
        return replace(question, video=self._raw.spec.join([features]))

    @torch.no_grad()
    def _encoded(self, video_id: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        device = next(self._model.parameters()).device
        frames = torch.from_numpy(self._clips.clips(video_id)).to(device)
        found: np.ndarray[Any, np.dtype[np.float32]] = self._model.features(frames).cpu().numpy()
        return found


def answers(
    model: EncoderAndGrounder,
    dataset: RawVideoDataset,
    clips: RawClips,
    run: RunConfig,
    shard: Shard,
    report: Report = silent,
) -> list[PredictedRow]:
    """What both models together answer to every query of a split, or of a shard of it."""
    questions = EncodedQuestions(model, dataset, clips, shard)
    found = answer_questions(model.grounder, questions, run.data.clip_s, run.grounding)
    return to_rows(questions, reported(found, len(questions), report))


def evaluate_run(checkpoint: Path, split: Split = "val", options: EvaluateOptions | None = None) -> Evaluation:
    """Score a run's best checkpoint on the raw videos of a split; see that of tasks.grounding."""
    how = options or EvaluateOptions()
    refuse_precision(how.precision)
    refuse_other_sections(how.settings, ("data", "grounding"))
    config = run_around(checkpoint).config(RunConfig)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder)
    data = data_as_trained(how.data or config.data, how.settings, loaded.features)
    config = config.model_copy(update={"data": data})
    place = folder / ENCODERS_FOLDER / folder_name(encoder_name(config.encoder))
    opened = load_video_checkpoint(place)
    encoder = opened.model if isinstance(opened.model, AdaptedVideoMamba) else adapt_model(opened.model, "full")
    model = EncoderAndGrounder(encoder, loaded.model, opened.preprocessing, config.encoder).eval()
    clips = raw_clips(config, encoder)
    dataset = RawVideoDataset(config.data, split, clips, to_train=False)
    config = config.model_copy(update={"grounding": with_settings(loaded.grounding, how.settings, "grounding")})
    rows = answers(model, dataset, clips, config, Shard(), how.report)
    found = evaluate_rows(rows, dataset.annotations, how.benchmark or data.benchmark, how)
    published, limit = how.benchmark or data.published(config.name), config.grounding.min_exists
    return replace(found, published=published, videos=config.videos, min_exists=limit)
