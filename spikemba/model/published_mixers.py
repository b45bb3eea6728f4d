"""Single Mamba-2 and Hydra mixers from published files: sizes read off the tensors, tensors under their names.

Public models keep a mixer below a prefix, `backbone.layers.3.mixer.` of the authors' language models; a file of one
mixer alone has none. Nothing that a file holds is run.
"""

# Shapes: D width, E inner width, H heads, G groups of heads, N state size.

from pathlib import Path

from torch import Tensor

from spikemba.errors import CheckpointError, ConfigError
from spikemba.model.hydra_mixer import HydraMixer
from spikemba.model.mamba2_mixer import Mamba2Mixer
from spikemba.model.mamba_block import MixerConfig
from spikemba.weight_files import built, load_state, read_state

IN_PROJ = "in_proj.weight"


def load_mixer(path: Path, prefix: str = "", n_groups: int = 1) -> Mamba2Mixer | HydraMixer:
    """The mixer of a file with its weights, a Hydra where there is `fc_D`, in float32.

    prefix: what stands before its tensors' names.  n_groups: G, which no tensor tells (`ngroups` of the model's
    config.json). Raises CheckpointError that names what is missing, left over or of another shape.
    """
    state = read_state(path)
    own = {name.removeprefix(prefix): value.float() for name, value in state.items() if name.startswith(prefix)}
    if IN_PROJ not in own:
        places = sorted(name.removesuffix(IN_PROJ) for name in state if name.endswith(IN_PROJ))
        known = f"its mixers stand below {', '.join(map(repr, places[:3]))}" if places else "there is none in it"
        raise CheckpointError(f"{path}: no tensor {prefix}{IN_PROJ} of a mixer; {known}")
    width, config = _sizes_of(own, n_groups, path)
    kind = HydraMixer if config.kind == "hydra" else Mamba2Mixer
    mixer = built(lambda: kind(width, config), config, own, path)
    load_state(mixer, own, path)
    return mixer


def _sizes_of(state: dict[str, Tensor], n_groups: int, path: Path) -> tuple[int, MixerConfig]:
    """D, and the configuration of the mixer that has these tensors. Raises CheckpointError."""
    hydra = "fc_D.weight" in state
    try:
        width, inner = state["out_proj.weight"].shape
        channels, _, taps = state["conv1d.weight"].shape
        heads = len(state["A_log"])
        settings = {
            "kind": "hydra" if hydra else "mamba2",
            "directions": "both" if hydra or "backward_scan.A_log" in state else "forward",
            "expand": inner // width,
            "head_width": inner // heads,
            "n_groups": n_groups,
            "state_size": (channels - inner) // ((4 if hydra else 2) * n_groups),
            "conv_width": taps,
        }
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path}: not the tensors of a mixer ({error} is missing or misshapen)") from None
    try:
        config = MixerConfig.parse(settings, str(path))
        config.n_dual_heads(width)
    except (ConfigError, ValueError) as error:
        raise CheckpointError(f"{path}: its tensors are of no mixer that is known here ({error})") from None
    return width, config
