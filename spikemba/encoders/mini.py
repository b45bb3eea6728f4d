"""mini: a small video and text encoder that is bundled, so that everything can be tried offline on a CPU.

It was trained on the synthetic shapes corpus (`pipelines/bundled/pretrain_mini.py`) and knows nothing else of the
world.
Frames enter together with their change since earlier frames, because what it must tell apart is motion: a slow shape
moves by less than a pixel from frame to frame.
"""

# Shapes: n clips, T frames of a clip, H, Wd pixels, W query tokens, F feature width, C channels.

import hashlib
import re
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.encoders.base import Array, EncoderOptions, TextFeatures, check_clips, check_query
from spikemba.encoders.entry import EncoderEntry
from spikemba.errors import CheckpointError, ConfigError
from spikemba.libraries import cause
from spikemba.model.mamba_block import MambaMixer, MixerConfig
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable
from spikemba.video.sampling import FrameRule
from spikemba.weight_files import built, load_state, read_state

FOLDER = Path(__file__).parents[1] / "weights" / "mini"
UNKNOWN = "<unknown>"
MAX_WORDS = 64
WORD = r"[a-z0-9']+"
"""What is a word, in lower case."""


class MiniConfig(Config):
    """Sizes of the mini encoder."""

    dim: PositiveInt = 192
    """F of clips, of sentences to compare with them, and of tokens."""
    n_readings: PositiveInt = 3
    """Readings whose product is the vector of an event, or of a sentence."""
    frames_per_clip: PositiveInt = 8
    """T."""
    size_px: PositiveInt = 64
    """Frames are scaled and cropped to this square."""
    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """C after each stage of the video tower."""
    lags: tuple[PositiveInt, ...] = (1, 3)
    """Frames back from which changes are seen."""
    dilations: tuple[PositiveInt, ...] = (1, 3)
    """Frames between the taps of each stage's convolution over time."""
    stride: PositiveInt = 8
    """Pixels per place of the video tower's grid; fixed by its convolutions."""
    n_text_layers: PositiveInt = 2
    """Scans over the sentence."""
    tokens: Literal["states", "clauses"] = "states"
    """What is handed out per word: the text tower's state, or the vector of the event that the word's clause describes
    plus one for the word itself, in the space of clips. The first mini had states."""
    grew_from: str | None = None
    """SHA-256 of the weights of an encoder with states, to which these add nothing but the reader of clauses."""
    vocabulary: tuple[str, ...] = (UNKNOWN,)
    """Words it knows; the first stands for all others."""


class Product(nn.Module):
    """Several linear readings of a state, multiplied.

    If one reads the colour, one the form and one the action, then two events that differ in one of them are nearly
    orthogonal. Vectors that add up such parts are not: a red circle that spins beside a blue square that jumps would
    look like a blue circle that spins.
    """

    def __init__(self, n_in: int, n_out: int, n_readings: int) -> None:
        super().__init__()
        self.n_readings = n_readings
        self.read = nn.Linear(n_in, n_readings * n_out)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., n_in) -> (..., n_out)."""
        return self.multiply(self.read(x))

    def multiply(self, readings: Tensor) -> Tensor:
        """(..., n_readings * n_out) -> (..., n_out)."""
        return reduce(torch.mul, readings.chunk(self.n_readings, dim=-1))  # prod's gradient is ten times slower


class VideoTower(nn.Module):
    """What goes on at each place and moment, as a unit vector and a gate; a clip sums places and averages moments.

    A clip in which two things happen is the sum of their two vectors, one in which something happens half of the time
    has half of its vector; so a product with a sentence's vector says how much of it is there.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.lags = config.lags
        sizes = (3 + 3 * len(config.lags), *config.channels)
        grid, width = config.size_px // config.stride, config.channels[-1]
        self.forms = nn.Sequential(*(_convolution(i, o, stride=2) for i, o in pairwise(sizes)))
        self.place = nn.Parameter(torch.zeros(1, width, grid, grid))
        self.moment = nn.Parameter(torch.zeros(config.frames_per_clip, width, 1, 1))
        self.around = nn.ModuleList(_convolution(width, width) for _ in config.dilations)
        self.motion = nn.ModuleList(_over_time(width, dilation) for dilation in config.dilations)
        self.event = Product(width, config.dim, config.n_readings)
        self.gate = nn.Linear(width, 1)
        nn.init.constant_(self.gate.bias, -4.0)  # nothing goes on at most places
        self.rest = nn.Parameter(0.05 * torch.randn(config.dim))

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (n, T, H, Wd, 3) uint8 -> (n, F)."""
        return self.pool(*self.events(self.places(frames)))

    def places(self, frames: Tensor) -> Tensor:
        """frames: (n, T, H, Wd, 3) uint8 -> (n, T, h, w, C) states of a grid of h x w places."""
        n, steps = frames.shape[:2]
        x = frames.permute(0, 1, 4, 2, 3).float() / 127.5 - 1
        changes = [2 * (x - torch.cat((x[:, :1].expand(-1, lag, -1, -1, -1), x[:, :-lag]), dim=1)) for lag in self.lags]
        x = self.forms(torch.cat((x, *changes), dim=2).flatten(0, 1))
        x = (x.unflatten(0, (n, steps)) + self.place + self.moment).transpose(1, 2)
        for around, motion in zip(self.around, self.motion, strict=True):
            x = x + motion(x)
            x = x + around(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (n, steps)).transpose(1, 2)
        out: Tensor = x.movedim(1, -1)
        return out

    def events(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """(n, T, h, w, C) -> unit vectors (n, T, h, w, F), and logits (n, T, h, w) that something goes on there."""
        return F.normalize(self.event(places).float(), dim=-1), self.gate(places).float().squeeze(-1)

    def pool(self, events: Tensor, gate: Tensor) -> Tensor:
        """Unit vectors and gates of the places -> (n, F); without any event, the vector `rest`."""
        return torch.einsum("nthwf,nthw->nf", events, gate.sigmoid()) / events.shape[1] + self.rest


def _convolution(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.BatchNorm2d(n_out), nn.GELU())


def _over_time(width: int, dilation: int) -> nn.Sequential:
    taps = nn.Conv3d(width, width, (3, 1, 1), padding=(dilation, 0, 0), dilation=(dilation, 1, 1))
    return nn.Sequential(taps, nn.BatchNorm3d(width), nn.GELU())


class TextTower(nn.Module):
    """Words -> scans in both directions -> a state per word; their strongest readings' product is the sentence."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(len(config.vocabulary), config.dim)
        self.norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(config.n_text_layers))
        self.mixers = nn.ModuleList(MambaMixer(config.dim, MixerConfig()) for _ in range(config.n_text_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.out = Product(config.dim, config.dim, config.n_readings)
        self.clauses = ClauseReader(config) if config.tokens == "clauses" else None

    def forward(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """words: (n, W) indices, padded on the right.  mask: (n, W) bool.  Returns (n, W, F) and (n, F)."""
        x, sentence = self.states(words, mask)
        if self.clauses is None:
            return x, sentence
        events, belongs = self.clauses(x, mask)
        return F.normalize(self.words(words), dim=-1) + events * belongs.sigmoid()[..., None], sentence

    def states(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The states of the words, (n, W, F), and the sentences' vectors, (n, F)."""
        x = self.words(words)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x), mask)
        x = self.norm(x)
        strongest = self.out.read(x).masked_fill(~mask[..., None], -torch.inf).amax(1)
        return x, self.out.multiply(strongest)


class ClauseReader(nn.Module):
    """What each word's clause is about, from the words' states.

    The sentence's vector is about its main clause alone: of "a ring spins before a box jumps" nothing else says that
    there is a box.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.mixer = MambaMixer(config.dim, MixerConfig(expand=1))
        self.event = Product(config.dim, config.dim, config.n_readings)
        self.belongs = nn.Linear(config.dim, 1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x: (n, W, F), states.  Returns unit vectors of the clauses' events, (n, W, F), and logits (n, W) that the
        word belongs to a clause at all, as "before" does not.
        """
        x = x + self.mixer(self.norm(x), mask)
        return F.normalize(self.event(x), dim=-1), self.belongs(x).squeeze(-1)


class Mini(nn.Module):
    """Both towers and the scale of their similarity."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.config = config
        self.video = VideoTower(config)
        self.text = TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.shift = nn.Parameter(torch.tensor(-4.0))
        self._index = {word: i for i, word in enumerate(config.vocabulary)}

    def match(self, events: Tensor, sentences: Tensor) -> Tensor:
        """Logit that a sentence is true of a clip, or of a place. events: (n, F), sentences: (m, F) -> (n, m)."""
        return events @ F.normalize(sentences, dim=-1).t() * self.log_scale.exp() + self.shift

    def words(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Indices of the words, (n, W), padded on the right, and the mask."""
        rows = [[self._index.get(word, 0) for word in split_words(sentence)] or [0] for sentence in sentences]
        width = max(map(len, rows))
        words = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return words, torch.tensor([[i < len(row) for i in range(width)] for row in rows])


class MiniEncoder:
    """The bundled encoder behind the protocols of `base`."""

    name = "mini"
    max_words = MAX_WORDS
    placeholder = UNKNOWN
    """Stands for a word that is hidden: the sentence keeps its form, which its reader knows from training."""

    def __init__(self, model: Mini, weights: str) -> None:
        self.model, self.weights = model.eval(), weights
        self.dim = self.text_dim = model.config.dim
        self.frames_per_clip = model.config.frames_per_clip

    def as_of(self, weights: str) -> "MiniEncoder | None":
        """The encoder that these weights were, if this one grew from it: checkpoints trained on that one ask for it."""
        config = self.model.config
        if weights != config.grew_from:
            return None
        model = Mini(config.model_copy(update={"tokens": "states", "grew_from": None}))
        model.load_state_dict({name: self.model.state_dict()[name] for name in model.state_dict()})
        return MiniEncoder(model, weights)

    def frame_rule(self, clip_s: float) -> FrameRule:
        """T frames, spread evenly over each clip."""
        return FrameRule(fps=self.frames_per_clip / clip_s, size_px=self.model.config.size_px)

    @torch.inference_mode()
    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, T, H, Wd, 3) uint8 RGB -> (n, F)."""
        check_clips(frames, self.frames_per_clip, self.name)
        out: Array = self.model.video(torch.from_numpy(frames)).numpy()
        return out

    def unknown_words(self, sentence: str) -> list[str]:
        """Words out of its vocabulary; of other scripts than the Latin it knows none."""
        known = {*self.model.config.vocabulary}
        words = dict.fromkeys(re.findall(r"[\w']+", sentence.lower()))
        return [word for word in words if split_words(word) != [word] or word not in known]

    @torch.inference_mode()
    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One by one, so that a sentence's features do not depend on its neighbours' lengths."""
        found = []
        for sentence in sentences:
            tokens, pooled = self.model.text(*self.model.words([check_query(sentence, self.max_words)]))
            pooled = F.normalize(pooled, dim=-1)
            found.append(TextFeatures(tokens[0].numpy(), pooled[0].numpy()))
        return found


def split_words(sentence: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(WORD, sentence.lower())


def load(folder: Path = FOLDER) -> MiniEncoder:
    """The encoder stored in `folder`, by default the bundled one. Raises CheckpointError that names the file."""
    path = folder / "model.safetensors"
    try:
        config = MiniConfig.parse(read_json(folder / "config.json"), str(folder))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror}); expected a mini encoder") from None
    except (ConfigError, Unreadable) as error:
        raise CheckpointError(f"{folder / 'config.json'}: is no mini encoder's ({cause(error)})") from None
    state = read_state(path)
    model = built(lambda: Mini(config), config, state, folder)
    load_state(model, state, path)
    return MiniEncoder(model, digest)


def _load(name: str, model: str | None, options: EncoderOptions) -> MiniEncoder:  # noqa: ARG001
    """Of the options only the folder of its weights matters; it is too small for the others."""
    return load(options.weights or FOLDER)


ENTRY = EncoderEntry(
    name="mini",
    what="bundled, trained on drawn shapes; knows nothing else",
    load=_load,
    reads_text=True,
    length_matters=True,
    knows="drawn shapes that move",
)
