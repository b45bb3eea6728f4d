"""The grounder as a graph: one video and one sentence, every position real, any length."""

# Shapes: L clips, W query tokens, F feature width, D width, S spike steps.

import copy
from collections.abc import Iterable
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from spikemba.batch import Spikes
from spikemba.errors import CheckpointError
from spikemba.exporting.mixer import MixerGraph
from spikemba.exporting.neurons import DetectorGraph, ProposalGraph
from spikemba.model import SpikeMba
from spikemba.model.mamba_block import MambaMixer
from spikemba.model.spikemba.heads import ClipConvolution, Float32ClipConvolution, ProposalNeuron
from spikemba.model.spikemba.moment_reasoner import MomentReasoner, sine_position
from spikemba.model.spikemba.network import SpikeMbaBlock
from spikemba.model.spikemba.spiking_saliency import SpikingSaliencyDetector
from spikemba.model.spikemba.streams import Stream
from spikemba.ops.precision import Float32Linear

M = TypeVar("M", bound=nn.Module)

OUTPUTS = ("foreground_logits", "boundaries", "saliency_logits", "proposal_spikes", "quality_logits", "exists_logits")
"""Of `Prediction`, what decoding reads; the last two where the network has their heads."""


class GrounderGraph(nn.Module):
    """What SpikeMba predicts for one pair, in the operations that graphs have.

    A pair of whose clips and tokens none is padding needs no packing: [text, video] stand together as they come.
    """

    def __init__(self, model: SpikeMba) -> None:
        """Raises CheckpointError for a mixer that is no scan."""
        super().__init__()
        if (kind := model.config.mixer.kind) != "scan":
            raise CheckpointError(
                f"its model.mixer.kind is {kind!r}; expected 'scan', of which alone graphs are written"
            )
        self.model = in_plain_operations(model)
        heads = self.model.config.heads
        told = {"quality_logits": heads.quality, "exists_logits": heads.exists}
        self.outputs = tuple(name for name in OUTPUTS if told.get(name, True))

    def forward(self, video: Tensor, query_tokens: Tensor) -> tuple[Tensor, ...]:
        """video: (1, L, F), query_tokens: (1, W, F), as the model reads them.  Returns what `outputs` names."""
        model, config = self.model, self.model.config
        masks = [torch.ones(z.shape[:2], dtype=torch.bool, device=z.device) for z in (video, query_tokens)]
        clips, query = model._enter_video(video, masks[0]), model._enter_query(query_tokens, masks[1])
        position = None
        if config.moment_reasoner.position != "none":
            position = config.moment_reasoner.position_scale * sine_position(masks[0], config.width)
        if position is not None and config.moment_reasoner.position == "once":
            clips, position = Stream(clips.x + position, clips.mask, clips.slots), None
        shared = video[..., : query_tokens.shape[-1]]
        similarity = torch.bmm(shared, query_tokens.transpose(1, 2)) if config.token_similarity else None
        last = (shared * query_tokens[:, -1:]).sum(-1, keepdim=True) if config.query_similarity else None
        spikes: tuple[Spikes, ...] = ()
        for i, block in enumerate(cast(Iterable[SpikeMbaBlock], model.blocks)):
            if last is not None and i == model._n_read:
                clips = Stream(clips.x + model.similarity_projection(last), clips.mask, clips.slots)
            query = block.read_query(model._with_slots(query, model.query_slots, i))
            clips = block.read_video(model._with_slots(clips, model.video_slots, i), position)
            if (n_met := i + 1 - config.joint_from) >= 0:
                detector = model.detectors[n_met % len(model.detectors)] if model.detectors else None
                clips, query, spikes = block.meet(clips, query, detector, similarity, True)
        found = model.heads(clips.x, clips.mask, query.x, query.mask, spikes)
        return tuple(getattr(found, name) for name in self.outputs)


def in_plain_operations(module: M) -> M:
    """A copy in evaluation mode whose parts with kernels of our own are graphs; the module is left as it is."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for name, part in list(module.named_modules()):
        plain = _plain(part)
        if plain is not part:
            module.set_submodule(name, plain)
    return module


def _plain(part: nn.Module) -> nn.Module:
    """The graph that stands in for a part; the part itself where it is one already."""
    if isinstance(part, MambaMixer):
        return MixerGraph(part)
    if isinstance(part, SpikingSaliencyDetector):
        return DetectorGraph(part)
    if isinstance(part, ProposalNeuron):
        return ProposalGraph(part)
    if isinstance(part, Float32Linear):
        part.__class__ = nn.Linear  # type: ignore[assignment]
    elif isinstance(part, Float32ClipConvolution):
        part.__class__ = ClipConvolution  # type: ignore[assignment]
    elif isinstance(part, MomentReasoner):
        part.padding_between = False
    return part
