"""What each word of a sentence contributes to a window, as the page is told it."""

from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.messages import AskWords, Words
from spikemba.grounder.grounder import Grounder


def word_effects(model: Grounder, video: ServedVideo, asked: AskWords) -> Words:
    """Raises QueryError, VideoError, SpikeMbaError for a window behind the video's end."""
    found = model.word_effects(video.path, asked.query, asked.start_s, asked.end_s)
    return Words.model_validate(found.to_dict())
