"""The network together with what it was trained on: saved, loaded and pushed as models of the hub are.

    model = PretrainedSpikeMba.from_pretrained("owner/name")    a folder, a run folder, a bundled name, or a repository
    model.save_pretrained("folder")                             config.json, model.safetensors, README.md
    model.push_to_hub("owner/name")

The folder is a checkpoint as `spikemba.checkpoints.grounding` reads it; there is no second format.
"""

import shutil
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, ModelHubMixin

from spikemba.checkpoints.grounding import Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from spikemba.checkpoints.hub import fetch, is_hub_name
from spikemba.checkpoints.model_card import LIBRARY, PAPER, TAGS, model_card
from spikemba.errors import CheckpointError
from spikemba.features import FeatureSpec
from spikemba.files import CONFIG_FILE, ENCODERS_FOLDER, WEIGHTS_FILE, write_json, writing
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.weight_files import read_settings


class PretrainedSpikeMba(SpikeMba, ModelHubMixin, library_name=LIBRARY, paper_url=PAPER, tags=list(TAGS)):
    """The network, and what it takes to use it elsewhere: its features, its way to moments, where it comes from.

    `SpikeMba` is the network alone, as training builds it. This one has a name of its own, since it is another thing:
    it is loaded and pushed by a name, and saved only when it knows its features.
    """

    features: FeatureSpec | None = None
    """What it reads; only a network that knows it can be saved."""
    grounding = GroundingConfig()
    trained: dict[str, Any]
    """What the model card shows: data, epoch, metrics, settings, version."""
    encoders: tuple[Path, ...] = ()
    """Folders of encoders that were trained together with it; they are saved with it."""

    def __init__(self, config: SpikeMbaConfig, n_video_features: int, n_query_features: int) -> None:
        super().__init__(config, n_video_features, n_query_features)
        self.trained = {}

    @property
    def checkpoint(self) -> Checkpoint:
        """All of it, as the rest of the library takes it. Raises CheckpointError when the features are not known."""
        if self.features is None:
            raise CheckpointError("this network does not know its features; set `model.features` to a FeatureSpec")
        return Checkpoint(self, self.features, self.grounding, self.trained)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """The network in evaluation mode, from a folder, a run folder, a bundled name, the hub's cache or the hub.

        Nothing that is loaded is code. Raises CheckpointError; TypeError for `model_kwargs`: the folder decides.
        """
        if model_kwargs:
            raise TypeError(f"from_pretrained takes no {', '.join(model_kwargs)}: config.json decides")
        name = str(pretrained_model_name_or_path)
        if not Path(name).exists() and is_hub_name(name):
            name = str(
                fetch(
                    name,
                    revision=revision,
                    token=token,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                )
            )
        return super().from_pretrained(find_checkpoint(name))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **_: Any) -> Self:
        """What the mixin calls with the folder; it also hands over config.json unchecked, which is read again here."""
        loaded = load_checkpoint(model_id, cls)
        model = loaded.model
        assert isinstance(model, cls)
        model.features, model.grounding, model.trained = loaded.features, loaded.grounding, loaded.trained
        model.encoders = tuple(
            sorted(path.parent for path in Path(model_id).glob(f"{ENCODERS_FOLDER}/*/{CONFIG_FILE}"))
        )
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_checkpoint(save_directory, self.checkpoint)
        for folder in self.encoders:
            _copy_encoder(folder, save_directory / ENCODERS_FOLDER / folder.name)

    def generate_model_card(self, *_: Any, **details: Any) -> ModelCard:
        """The README.md; `details` are the arguments of `model_card`."""
        backbones = {folder.name: found for folder in self.encoders if (found := _backbone(folder))}
        return ModelCard(model_card(self.checkpoint, backbones=backbones, **details))


def _copy_encoder(folder: Path, target: Path) -> None:
    """Copy a video checkpoint. Raises CheckpointError when it is incomplete, OutputError.

    Of the place of its backbone the name is left: the receiver has it elsewhere, and paths of this machine are nobody's
    business.
    """
    config = read_settings(folder)
    if config.get("backbone"):
        config["backbone"]["path"] = Path(config["backbone"]["path"]).name
    if not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(f"{folder} holds no {WEIGHTS_FILE}, so the encoder is incomplete")
    with writing(target / WEIGHTS_FILE) as temporary:
        shutil.copyfile(folder / WEIGHTS_FILE, temporary)
    write_json(target / CONFIG_FILE, config)


def _backbone(folder: Path) -> str:
    """Name and digest of what an encoder stands on and does not hold; empty when it holds all."""
    backbone = read_settings(folder).get("backbone")
    return f"{Path(backbone['path']).name}, SHA-256 of its tensors {backbone['sha256'][:16]}" if backbone else ""
