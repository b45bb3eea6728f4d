"""Give a trained model away: a folder, or a repository of the hub, that others load with one line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.runs.run_dir import RunDir
from pipelines.runs.study_folder import read_study
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.grounding.evaluate import evaluate_run
from spikemba.checkpoints.hub import is_hub_name, without_bars
from spikemba.checkpoints.pretrained import PretrainedSpikeMba
from spikemba.config import flat
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.base import Split
from spikemba.datasets.registry import find_benchmark
from spikemba.errors import CheckpointError, ShareError
from spikemba.files import write_text
from spikemba.hub_problem import is_outside, what_failed
from spikemba.libraries import library, one_line

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CARD = "README.md"


@dataclass(frozen=True)
class Shared:
    """Where a model was put."""

    place: str
    """The folder, or the address of the repository."""
    kept_card: bool
    """Its README.md was there before and was left as it is."""


def share(
    source: str | Path,
    to: str,
    *,
    splits: Sequence[Split] = (),
    licence: str | None = None,
    public: bool = False,
    new_card: bool = False,
    message: str | None = None,
) -> Shared:
    """Write the best checkpoint of a run, or a checkpoint, to a folder, or push it to the hub.

    to: a folder, or owner/name for a repository, which is made if there is none.  splits: scored first, for the card.
    public: a new repository can be read by everybody.  new_card: replace a README.md that is there.
    Raises CheckpointError, ShareError, OutputError, and what evaluating raises.
    """
    _check_one(Path(source))
    model = PretrainedSpikeMba.from_pretrained(source)
    model.trained = {**model.trained, **_recorded(Path(source), model.trained, splits)}
    if is_repository(to):
        return _push(model, to, licence, public, new_card, message or f"Add {_title(model)}")
    folder = Path(to).expanduser()
    _check_target(folder, Path(source))
    kept = (folder / CARD).is_file() and not new_card
    model.save_pretrained(folder, model_card_kwargs={"licence": licence, "name": folder.name})
    if not kept:
        card = model.generate_model_card(licence=licence, name=folder.name)
        write_text(folder / CARD, card.content)
    return Shared(str(folder), kept)


def is_repository(to: str) -> bool:
    """Whether a target is owner/name on the hub; what begins like a path is a folder.

    Raises ShareError when it could be either.
    """
    if to.startswith((".", "/", "~")) or to.count("/") != 1:
        return False
    if Path(to.partition("/")[0]).exists():
        raise ShareError(to, f"it may be a folder here or a repository; write ./{to} for the folder")
    return is_hub_name(to)


def _check_one(source: Path) -> None:
    """Raise CheckpointError for a study, which is several models."""
    study = read_study(source) if source.is_dir() else None
    if study:
        known = ", ".join(str(source / run.folder) for run in study.runs[:3])
        raise CheckpointError(f"{source} holds {len(study.runs)} runs; share one of them, such as {known}")


def _check_target(folder: Path, source: Path) -> None:
    """Raise ShareError when the folder is the run itself, or holds something else than a checkpoint."""
    if folder.exists() and source.exists() and folder.resolve() in (source.resolve(), (source / "best").resolve()):
        raise ShareError(folder, "the model comes from there; name another folder with --to")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise ShareError(folder, "it holds other files and no checkpoint; name another folder with --to")


def _recorded(source: Path, trained: Mapping[str, Any], splits: Sequence[Split]) -> dict[str, Any]:
    """What the run says beyond the checkpoint, as the model card takes it; no path of this machine."""
    found: dict[str, Any] = {}
    run = RunDir(source.parent if source.name in ("best", "last", "best_on_test") else source)
    if (run.path / "config.yaml").is_file():
        config = run.config(RunConfig)
        found["data"] = dict(_data(config))
        found["settings"] = _settings(config)
        row = next((row for row in run.rows() if row["epoch"] == trained.get("epoch")), {})
        found |= {split: row[split] for split in ("val", "test") if row.get(split)}
        written = (run.path / "metrics.jsonl").stat().st_mtime if (run.path / "metrics.jsonl").is_file() else None
        if written is not None:
            found["date"] = datetime.fromtimestamp(written, UTC).date().isoformat()
    for split in splits:
        found[split] = evaluate_run(source, split).brief
    return found


def _data(config: RunConfig) -> Mapping[str, str]:
    """The data set in words: its name, names and sizes of its splits. A name of a benchmark only where it is one."""
    title = find_benchmark(config.data.benchmark).title
    named = config.data.name or (title if config.data.published(config.name) else config.name)
    found: dict[str, str] = {"data set": named}
    if config.data.domain:
        found["domain"] = config.data.domain
    for split in SPLITS:
        path = getattr(config.data, split)
        if path is not None:
            found[split] = f"{len(read_annotations(path))} pairs of {path.name}" if path.is_file() else path.name
    return found


def _settings(config: RunConfig) -> dict[str, Any]:
    """Settings that differ from the defaults, the data's places and the name left out."""
    now, default = (flat(one.model_dump(mode="json", exclude={"data", "name"})) for one in (config, RunConfig()))
    return {key: value for key, value in now.items() if default.get(key) != value}


def _push(
    model: PretrainedSpikeMba, to: str, licence: str | None, public: bool, new_card: bool, message: str
) -> Shared:
    with library("huggingface_hub"):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        kept = not new_card and api.repo_exists(to) and api.file_exists(to, CARD)
        with without_bars():
            model.push_to_hub(
                to,
                commit_message=message,
                private=not public,
                ignore_patterns=[CARD] if kept else None,
                model_card_kwargs={"licence": licence, "name": to},
            )
    except LocalTokenNotFoundError:
        raise ShareError(to, "nobody is logged in to the hub; run `hf auth login`") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        login = "; log in with `hf auth login`, as somebody who may write there" if status in (401, 403) else ""
        raise ShareError(to, f"the hub refuses it ({one_line(error)}){login}") from None
    except Exception as error:
        if not is_outside(error):
            raise
        raise ShareError(to, what_failed(error)[1]) from None
    return Shared(f"{api.endpoint}/{to}", kept)


def _title(model: PretrainedSpikeMba) -> str:
    epoch = model.trained.get("epoch")
    return "a SpikeMba checkpoint" + (f" of epoch {epoch}" if epoch else "")
