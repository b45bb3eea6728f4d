"""What each word of a sentence contributes to a window, as the page is told it."""

from pipelines.serving.catalogue import ServedVideo
from pipelines.serving.faults import NotNow
from pipelines.serving.messages import AskWords, Words
from spikemba.grounder.grounder import Grounder


def word_effects(model: Grounder, video: ServedVideo, asked: AskWords) -> Words:
    """Raises NotNow where the model cannot say it, QueryError, VideoError."""
    found = getattr(model, "word_effects", None)
    if found is None:
        raise NotNow(f"{model.name} cannot say what each word contributes")
    return Words.model_validate(found(video.path, asked.query, asked.start_s, asked.end_s))
