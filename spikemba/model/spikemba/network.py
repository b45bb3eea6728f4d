"""SpikeMba: video clips and a query in, moments and saliency out (arXiv 2404.01174).

    clips, tokens -> projections -> n_blocks x [reasoner of each modality -> detector -> relevant Mamba] -> heads

docs/methods.md says what the source states and what was decided where it is silent.
"""

# Shapes: B pairs, V videos, L clips, P of them packed, W query tokens, M = W + L positions, D width, R slots.

from dataclasses import replace
from typing import Any, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from spikemba.batch import Batch, Prediction, Spikes
from spikemba.config import Config, Tree, as_before
from spikemba.errors import ShapeError
from spikemba.model.mamba_block import MixerConfig
from spikemba.model.spikemba.heads import GroundingHeads, HeadsConfig, ProposalConfig, clip_centres
from spikemba.model.spikemba.moment_reasoner import (
    MomentReasoner,
    MomentReasonerConfig,
    SlotsConfig,
    new_slots,
    sine_position,
)
from spikemba.model.spikemba.packing import Packing
from spikemba.model.spikemba.relevant_mamba import RelevantMamba, RelevantMambaConfig
from spikemba.model.spikemba.spiking_saliency import SilentDetector, SpikingSaliencyConfig, SpikingSaliencyDetector
from spikemba.model.spikemba.streams import Stream, VideoReading
from spikemba.ops.recompute import recomputed


class SpikeMbaConfig(Config):
    """The SpikeMba network. Where the source leaves a choice open, its form is one of the values."""

    width: PositiveInt = 256
    """D, channels of every sequence."""
    n_blocks: PositiveInt = 2
    """Blocks of reasoner, detector and relevant Mamba. The source has 6, which take three times as long and learn more
    slowly (docs/methods.md)."""
    joint_from: PositiveInt = 1
    """The first block in which video and query meet; those before have reasoners alone, and what they make of a video
    serves all its queries. The source's is 1."""
    endpoints: bool = True
    """Append [i / n, (i + 1) / n] to clip i (TEF), as every ancestor does; a scan alone cannot tell where it is."""
    query_similarity: bool = False
    """Tell each clip how much its first features resemble the query's last token: for encoders that put clips and
    sentences in one space, with `data.sentence_token`. The source, whose encoders do not, has nothing of the kind."""
    token_similarity: bool = False
    """Let each clip read the states of all tokens, weighted by how much its first features resemble theirs, in every
    block: for encoders whose tokens lie in the space of clips, as mini's do. Not in the source."""
    modality_embedding: bool = False
    """Add a learned vector per modality after the input projections."""
    n_input_layers: PositiveInt = 2
    """Layers of each input projection."""
    input_dropout: float = Field(0.5, ge=0, lt=1)
    """Dropout before each layer of the input projections."""
    dropout: NonNegativeFloat = Field(0.0, lt=1)
    """Dropout on the sequences between blocks."""
    mixer: MixerConfig = MixerConfig()
    slots: SlotsConfig = SlotsConfig()
    moment_reasoner: MomentReasonerConfig = MomentReasonerConfig()
    spiking_saliency: SpikingSaliencyConfig = SpikingSaliencyConfig()
    relevant_mamba: RelevantMambaConfig = RelevantMambaConfig()
    heads: HeadsConfig = HeadsConfig()
    proposals: ProposalConfig = ProposalConfig()

    @classmethod
    def as_it_was(cls, tree: Any) -> Any:
        """The section of an earlier version's file with what that version had; any other as it is."""
        return as_before(cls, tree, _BEFORE)

    @model_validator(mode="before")
    @classmethod
    def _begins_as_it_was(cls, tree: Any) -> Any:
        return cls.as_it_was(tree)

    @model_validator(mode="after")
    def _every_slot_is_used(self) -> Self:
        is_of_a_file = self.model_fields_set == set(type(self).model_fields)  # see as_before; 0.1.0 trained such
        if self.n_blocks > 1 and self.slots.carry and self.slots.per_block and not is_of_a_file:
            raise ValueError(
                "slots.carry hands the first block's slots to all others, so those of slots.per_block would never be "
                "used; switch one of the two off"
            )
        return self

    @model_validator(mode="after")
    def _they_meet(self) -> Self:
        if self.joint_from > self.n_blocks:
            raise ValueError(
                f"joint_from is {self.joint_from}, and there are {self.n_blocks} blocks (n_blocks) to meet in"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        for name, n_heads in {"spiking_saliency": self.spiking_saliency.n_heads, "mixer": self.mixer.n_heads}.items():
            if self.width % n_heads:
                raise ValueError(f"width {self.width} is not a multiple of {name}.n_heads {n_heads}")
        self.mixer.n_dual_heads(self.width)  # refuses those that do not fit
        return self


_BEFORE: Tree = {
    "joint_from": 1,
    "token_similarity": False,
    "heads": {
        "reads": "states",
        "clamp": True,
        "first_distance": 0.5,
        "quality": False,
        "edges": False,
        "exists": False,
    },
    "slots": {"step_offset": None},
    "moment_reasoner": {"position": "sine", "position_scale": 1.0},
    "spiking_saliency": {"silent": False},
    "relevant_mamba": {"spike_norm": "layer"},
    "proposals": {"read": "neuron"},
}
"""Of networks of 0.1.0."""


class InputProjection(nn.Module):
    """n layers of LayerNorm, dropout, linear, with ReLU between them: features of one modality to the model's width."""

    def __init__(self, n_features: int, config: SpikeMbaConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(config.n_input_layers):
            size = config.width if i else n_features
            layers += [nn.LayerNorm(size), nn.Dropout(config.input_dropout), nn.Linear(size, config.width), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, F).  mask: (B, L) bool.  Returns (B, L, D), zero at padding."""
        out: Tensor = self.layers(x) * mask[..., None]
        return out


class SpikeMbaBlock(nn.Module):
    """One round: each modality among itself, then both together under the gate of the spikes."""

    def __init__(self, config: SpikeMbaConfig, *, joint: bool) -> None:
        """joint: whether the modalities meet in this block."""
        super().__init__()
        # Text is padded on the left and video on the right, so that [text, video] has its real positions together.
        sizes = config.width, config.moment_reasoner, config.mixer, config.slots
        self.video_reasoner = MomentReasoner(*sizes, padding_side="right")
        self.query_reasoner = MomentReasoner(*sizes, padding_side="left")
        reads_tokens = joint and config.token_similarity
        self.token_reading = nn.Linear(config.width, config.width, bias=False) if reads_tokens else None
        if joint:
            self.relevant_mamba = RelevantMamba(config.width, config.relevant_mamba, config.mixer)
        self.dropout = nn.Dropout(config.dropout)

    def read_video(self, video: Stream, position: Tensor | None) -> Stream:
        """The video among itself."""
        x, slots = self.video_reasoner(video.x, video.mask, video.slots, position)
        return replace(video, x=x, slots=slots)

    def read_query(self, query: Stream) -> Stream:
        """The query among itself."""
        x, slots = self.query_reasoner(query.x, query.mask, query.slots, None)
        return replace(query, x=x, slots=slots)

    def meet(
        self,
        video: Stream,
        query: Stream,
        detector: nn.Module | None,
        similarity: Tensor | None,
        trains_read: bool,
    ) -> tuple[Stream, Stream, tuple[Spikes, ...]]:
        """Both together, each read already.

        similarity: (B, P, W) of clips and tokens.  trains_read: whether anybody reads what fires step by step.
        Returns the new states of both, and what the detector fired.
        """
        video_x = video.x
        if self.token_reading is not None and similarity is not None:
            video_x = video_x + similarity @ self.token_reading(query.x)
        joint, mask = torch.cat((query.x, video_x), dim=1), torch.cat((query.mask, video.mask), dim=1)
        fired: tuple[Spikes, ...] = (detector(joint, mask, trains_read=trains_read),) if detector is not None else ()
        joint = self.relevant_mamba(joint, mask, fired[0].rates if fired else joint)
        query_x, video_x = self.dropout(joint).split((query.x.shape[1], video.x.shape[1]), dim=1)
        return replace(video, x=video_x), replace(query, x=query_x), fired


class SpikeMba(nn.Module):
    """The whole model. A pair's output is the same alone and in any batch, wherever its padding stands.

    What it makes of a video before it meets a sentence, `read`, serves all sentences about it.
    """

    keeps_trains = False
    """Keep the spike trains of every block, not of the last alone, whose the heads read."""
    recompute_blocks = False
    """In training, keep only the inputs of each block and compute it again in the backward pass."""

    def __init__(self, config: SpikeMbaConfig, n_video_features: int, n_query_features: int) -> None:
        super().__init__()
        self.config = config
        self.n_video_features, self.n_query_features = n_video_features, n_query_features
        self.video_projection = InputProjection(n_video_features + 2 * config.endpoints, config)
        self.query_projection = InputProjection(n_query_features, config)
        for name in ("query_similarity", "token_similarity"):
            if getattr(config, name) and n_query_features > n_video_features:
                raise ShapeError(
                    f"{name} compares tokens of {n_query_features} features with the first features of clips, which "
                    f"have {n_video_features}; put the encoder that reads text first, or switch it off"
                )
        if config.query_similarity:
            self.similarity_projection = nn.Linear(1, config.width, bias=False)
        if config.modality_embedding:
            self.video_embedding = nn.Parameter(0.02 * torch.randn(config.width))
            self.query_embedding = nn.Parameter(0.02 * torch.randn(config.width))
        self.video_slots = new_slots(config.slots, config.n_blocks, config.width)
        self.query_slots = new_slots(config.slots, config.n_blocks, config.width)
        joint_from = config.joint_from - 1
        self.blocks = nn.ModuleList(SpikeMbaBlock(config, joint=i >= joint_from) for i in range(config.n_blocks))
        n_detectors = {"per_block": config.n_blocks - joint_from, "once": 1}[config.spiking_saliency.share]
        self.detectors = nn.ModuleList(
            SilentDetector()
            if config.spiking_saliency.silent
            else SpikingSaliencyDetector(config.width, config.spiking_saliency)
            for _ in range(n_detectors if config.spiking_saliency.enabled else 0)
        )
        heads = config.heads if self.detectors else config.heads.model_copy(update={"reads": "states"})
        self.heads = GroundingHeads(config.width, config.spiking_saliency.neuron, heads, config.proposals)

    @property
    def traceable(self) -> list[nn.Module]:
        """The parts that torch.compile takes whole, where they are now.

        Not the detectors, whose batch norms ask for counts and for the numbers of other processes. On a GPU nothing
        with a scan in it: torch does not know the official kernels.
        """
        heads = self.heads.foreground, self.heads.distances, self.heads.quality, self.heads.edges
        parts = [self.video_projection, self.query_projection, *(head for head in heads if head is not None)]
        if all(parameter.is_cpu for parameter in self.parameters()):
            parts += [one for one in self.modules() if isinstance(one, (MomentReasoner, RelevantMamba))]
        return parts

    def forward(self, batch: Batch, reading: VideoReading | None = None) -> Prediction:
        """batch: B pairs, padded anywhere.  reading: of the batch's videos, where `read` has made it already.

        Raises ShapeError for features of other widths than the model's.
        """
        self._check(batch)
        reading = (self.read(batch.video, batch.video_mask) if reading is None else reading).of_pairs(batch.video_of)
        query_packing = Packing(batch.query_mask, "right")
        tokens = query_packing.pack(batch.query_tokens)
        query = self._enter_query(tokens, query_packing.mask)
        video, clips, position, packing = reading.stream, reading.clips, reading.position, reading.packing
        if self.config.query_similarity:
            similar = (clips[..., : tokens.shape[-1]] * tokens[:, -1:]).sum(-1, keepdim=True)
            video = replace(video, x=video.x + self.similarity_projection(similar))
        similarity = None
        if self.config.token_similarity:
            similarity = clips[..., : tokens.shape[-1]] @ tokens.transpose(1, 2)
        del reading, clips, tokens  # of long videos the widest tensors there are

        spikes: tuple[Spikes, ...] = ()
        for i, block in enumerate(self.blocks):
            query = self._run(block.read_query, self._with_slots(query, self.query_slots, i))
            if i >= self._n_read:
                video = self._run(block.read_video, self._with_slots(video, self.video_slots, i), position)
            if (n_met := i + 1 - self.config.joint_from) >= 0:
                detector = self.detectors[n_met % len(self.detectors)] if self.detectors else None
                trains_read = self.keeps_trains or block is self.blocks[-1]
                video, query, fired = self._run(block.meet, video, query, detector, similarity, trains_read)
                spikes += fired

        prediction: Prediction = self.heads(video.x, video.mask, query.x, query.mask, spikes)
        return prediction.map_clips(packing.unpack)

    def read(self, video: Tensor, mask: Tensor) -> VideoReading:
        """What no sentence changes, once for all that ask. video: (V, L, F).  mask: (V, L) bool, True = real."""
        packing = Packing(mask, "left")
        clips = packing.pack(video)
        stream = self._enter_video(clips, packing.mask)
        position, where = None, self.config.moment_reasoner.position
        if where != "none":
            position = self.config.moment_reasoner.position_scale * sine_position(stream.mask, self.config.width)
        if position is not None and where == "once":
            stream, position = replace(stream, x=stream.x + position * stream.mask[..., None]), None
        for i in range(self._n_read):
            block = self.blocks[i]
            stream = self._run(block.read_video, self._with_slots(stream, self.video_slots, i), position)
        return VideoReading(packing, clips, stream, position)

    @property
    def _n_read(self) -> int:
        """Blocks whose video reasoner has run before a sentence changes anything."""
        return self.config.joint_from - self.config.query_similarity

    def _run(self, part: Any, *args: Any) -> Any:
        """A part of a block, which in training may keep its inputs alone."""
        return recomputed(part, *args) if self.recompute_blocks and self.training else part(*args)

    def _enter_video(self, clips: Tensor, mask: Tensor) -> Stream:
        """clips: (V, P, F), packed -> the video's stream before the first block."""
        if self.config.endpoints:
            half = 0.5 / mask.sum(1).clamp(min=1)[:, None]
            centre = clip_centres(mask)
            clips = torch.cat((clips, torch.stack((centre - half, centre + half), dim=-1).to(clips.dtype)), dim=-1)
        x = self.video_projection(clips, mask)
        if self.config.modality_embedding:
            x = x + self.video_embedding * mask[..., None]
        return Stream(x, mask, self._slots(self.video_slots, 0, len(x)))

    def _enter_query(self, tokens: Tensor, mask: Tensor) -> Stream:
        """tokens: (B, W, F), packed -> the query's stream before the first block."""
        x = self.query_projection(tokens, mask)
        if self.config.modality_embedding:
            x = x + self.query_embedding * mask[..., None]
        return Stream(x, mask, self._slots(self.query_slots, 0, len(x)))

    def _with_slots(self, stream: Stream, learned: Tensor, block: int) -> Stream:
        """The stream with the slots that enter a block: the learned ones, or those that the block before hands on."""
        if block == 0 or self.config.slots.carry:
            return stream
        return replace(stream, slots=self._slots(learned, block, len(stream.x)))

    def _slots(self, learned: Tensor, block: int, n_pairs: int) -> Tensor:
        """The slots that enter a block, (B, R, D)."""
        return learned[block % len(learned)].expand(n_pairs, -1, -1)

    def _check(self, batch: Batch) -> None:
        expected = {"video": self.n_video_features, "query_tokens": self.n_query_features}
        for name, n_features in expected.items():
            shape = tuple(getattr(batch, name).shape)
            if len(shape) != 3 or shape[2] != n_features:
                raise ShapeError(f"{name} is {shape}; this model expects {n_features} features in the last of 3 axes")
