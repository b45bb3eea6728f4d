"""A video encoder and a grounding model in one, from frames to predictions, and how a configuration makes them."""

# Shapes: C clips of a batch, T frames of a clip, H, Wd pixels, F feature width.

from typing import Self

import torch
from torch import Tensor, nn

from pipelines.tasks.adaptation.config import EncoderConfig, RunConfig
from pipelines.tasks.adaptation.raw_clips import RawClips
from pipelines.training.task import nothing_learned
from spikemba.batch import Batch, Prediction
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.base import GroundingDataset
from spikemba.encoders.several_frames import spread_frames
from spikemba.errors import CheckpointError, FeaturesMismatch
from spikemba.model import SpikeMba
from spikemba.model.spikemba.streams import VideoReading
from spikemba.model.video_mamba.adaptation import AdaptedVideoMamba, adapt_model, ssp_within
from spikemba.model.video_mamba.checkpoint import Preprocessing, initialise_from, open_video_model
from spikemba.model.video_mamba.network import VideoMamba
from spikemba.ops.recompute import recomputed
from spikemba.user_folders import weights_place
from spikemba.video.clips import ClipRule
from spikemba.video.names import named_videos


class EncoderAndGrounder(nn.Module):
    """What is optimised: the encoder's new parameters, and the grounding model if that is wanted."""

    def __init__(
        self, encoder: AdaptedVideoMamba, grounder: SpikeMba, preprocessing: Preprocessing, config: EncoderConfig
    ) -> None:
        super().__init__()
        self.encoder, self.grounder = encoder, grounder
        self.preprocessing, self.config = preprocessing, config

    def train(self, mode: bool = True) -> Self:
        """As any module; but a grounding model that does not learn has no dropout and keeps its running statistics."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.grounder.parameters()):
            self.grounder.eval()
        return self

    def forward(self, batch: Batch, reading: VideoReading | None = None) -> Prediction:
        """batch: pairs with the encoder's features.  reading: of their videos, as `read` makes it."""
        out: Prediction = self.grounder(batch, reading)
        return out

    def read(self, video: Tensor, mask: Tensor) -> VideoReading:
        """What the grounding model makes of videos before any sentence."""
        return self.grounder.read(video, mask)

    def features(self, frames: Tensor) -> Tensor:
        """frames: (C, T, H, Wd, 3) uint8 -> (C, F). Clips pass in groups, computed again in the backward pass."""
        if not len(frames):
            none = torch.zeros(0, self.encoder.backbone.config.width, device=frames.device)
            return none + nothing_learned(self.encoder)
        learned = torch.is_grad_enabled() and any(p.requires_grad for p in self.encoder.parameters())
        groups = frames.split(self.config.clips_at_once)
        return torch.cat([recomputed(self._encode, one) if learned else self._encode(one) for one in groups])

    def _encode(self, frames: Tensor) -> Tensor:
        video = self.preprocessing.normalised(frames)
        return self.encoder.features(video, readout=self.config.readout).float()


def make_encoder(config: EncoderConfig) -> tuple[AdaptedVideoMamba, Preprocessing]:
    """The backbone without its head, with what adapts it. Raises WeightsMissing, CheckpointError, ConfigError."""
    place = weights_place(config.backbone)
    opened = open_video_model(place, layout=config.layout)
    if isinstance(opened.model, AdaptedVideoMamba):
        raise CheckpointError(f"{config.backbone} is adapted already; name its backbone instead: {opened.backbone}")
    changes = {"n_frames": config.n_frames, "size_px": config.size_px}
    changes = {name: value for name, value in changes.items() if value not in (None, getattr(opened.config, name))}
    model = opened.model
    model.replace_head(0)
    if changes:
        model = VideoMamba(opened.config.model_copy(update=changes))
        initialise_from(model, place, layout=config.layout)
    if config.drop_path is not None:
        model.config = model.config.model_copy(update={"drop_path": config.drop_path})
    how = config.adaptation
    if how.method == "ssp" and config.max_share is not None:
        how = how.model_copy(update={"ssp": ssp_within(how.ssp, model.config, config.max_share)})
    return adapt_model(model, how), opened.preprocessing


def raw_clips(config: RunConfig, encoder: AdaptedVideoMamba) -> RawClips:
    """The data set's videos, cut into clips as the encoder wants them. Raises VideoError when there are none."""
    sizes, data = encoder.backbone.config, config.data
    rule = ClipRule(spread_frames(sizes.n_frames, sizes.size_px, data.clip_s), sizes.n_frames)
    videos = named_videos([config.videos])
    return RawClips(config.videos, videos, rule, data.clip_s, sizes.width, data.memory_gb)


def encoder_name(config: EncoderConfig) -> str:
    """As `extract --encoder` takes it."""
    return "videomamba" if config.readout is None else f"videomamba:{config.readout}"


def make_grounder(config: RunConfig, encoder: AdaptedVideoMamba, training: GroundingDataset) -> SpikeMba:
    """A new grounding model, or that of the checkpoint to start from. Raises FeaturesMismatch."""
    width, text = encoder.backbone.config.width, training.spec.text.dim
    if config.start is None:
        return SpikeMba(config.model, width, text)
    model = load_checkpoint(config.start).model
    if (model.n_video_features, model.n_query_features) != (width, text):
        raise FeaturesMismatch(
            f"{config.start} reads {model.n_video_features} numbers per clip and {model.n_query_features} per token; "
            f"this encoder and these queries have {width} and {text}"
        )
    return model
