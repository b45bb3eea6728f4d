"""What each metric says, in a sentence that needs no other row; its subject is the metric's name above it."""

import re

_RANGES = {
    "full": "",
    "short": "; of true moments, those of at most 10 s count",
    "middle": "; of true moments, those of more than 10 s and at most 30 s count",
    "long": "; of true moments, those of more than 30 s count (as QVHighlights has it, up to 150 s)",
}
_LEVELS = {"Fair": "fair or better", "Good": "good or better", "VeryGood": "very good"}
_FRONT = "Says how far in front, among the first ten moments of an answer, those stand that overlap a true one"

_WORDS: tuple[tuple[str, str], ...] = (
    (
        r"MR-(?P<range>\w+)-R1@(?P<limit>[\d.]+)",
        "Counts the sentences whose first moment overlaps a true one by at least {limit} (IoU){range}.",
    ),
    (
        r"MR-(?P<range>\w+)-mAP@(?P<limit>[\d.]+)",
        _FRONT + " by at least {limit} (IoU): the mean average precision over the sentences{range}.",
    ),
    (
        r"MR-(?P<range>\w+)-mAP",
        _FRONT + ": the mean average precision over the sentences and over ten limits of overlap (IoU), "
        "from 0.5 to 0.95{range}.",
    ),
    (
        r"MR-(?P<range>\w+)-mIoU",
        "Averages over the sentences the overlap (IoU) of the first moment with the true one that it fits best{range}.",
    ),
    (
        r"HL-min-(?P<level>\w+)-mAP",
        "Says how far in front the clips that a person rated {level} stand when the saliency orders them: the mean "
        "average precision over the sentences and the people.",
    ),
    (
        r"HL-min-(?P<level>\w+)-Hit1",
        "Counts the sentences whose clip of the highest saliency at least one person rated {level}.",
    ),
    (
        r"(GMR-)?AUROC",
        "Is the chance that a sentence whose moment is there gets a higher probability than one whose moment is not; "
        "guessing has 50.",
    ),
    (
        r"(GMR-)?Rej-F1@(?P<limit>[\d.]+)",
        "Is the harmonic mean of Rej-P and Rej-R, where a probability of {limit} or less refuses.",
    ),
    (
        r"(GMR-)?Rej-P@(?P<limit>[\d.]+)",
        "Counts, of the sentences that a probability of {limit} or less refuses, those whose moment is really not "
        "there.",
    ),
    (
        r"(GMR-)?Rej-R@(?P<limit>[\d.]+)",
        "Counts, of the sentences whose moment is not there, those that a probability of {limit} or less refuses.",
    ),
    (
        r"(GMR-)?Acc@(?P<limit>[\d.]+)",
        "Counts the sentences of which it is right whether there is a moment, where a probability above {limit} says "
        "that there is.",
    ),
    (
        r"GMR-G-mIoU@(?P<k>\d+)",
        "Averages the overlap of {first}, as a set, with all true ones; a sentence whose moment is not there has 100 "
        "if it was refused, else 0, and one refused although its moment is there has 0.",
    ),
    (
        r"GMR-mAP",
        "Says how far in front the right moments stand, as MR-full-mAP does, where a sentence with a moment but "
        "without an answer counts as 0.",
    ),
    (
        r"GMR-mR@(?P<k>\d+)",
        "Averages the share of the true moments that {first} meet, over the sentences with a moment and ten limits of "
        "overlap (IoU), from 0.5 to 0.95.",
    ),
    (
        r"GMR-mR\+@(?P<k>\d+)",
        "Averages the share of the true moments beyond one that {first} meet, over the sentences with several and ten "
        "limits of overlap (IoU), from 0.5 to 0.95.",
    ),
    (
        r"GMR-mIoU@(?P<k>\d+)",
        "Averages the overlap (IoU) of {first}, each paired with a true one of its own while there are any, over the "
        "sentences with a moment.",
    ),
    (
        r"GMR-mIoU\+@(?P<k>\d+)",
        "Averages the overlap (IoU) of {first}, each paired with a true one of its own and the best pair left out, "
        "over the sentences with several true moments.",
    ),
    (
        r"VCMR-R(?P<k>\d+)@(?P<limit>[\d.]+)",
        "Counts the sentences with a right moment, in a true video and overlapping by at least {limit} (IoU), within "
        "{first} of all videos.",
    ),
    (r"VR-R(?P<k>\d+)", "Counts the sentences with a true video within the first {k} different ones."),
    (
        r"NDCG(?P<k>\d+)@(?P<limit>[\d.]+)",
        "Says how much of the true moments {first} of all videos hold, early ones counting more, where an overlap "
        "(IoU) of {limit} makes one right.",
    ),
    (r"top1", "Counts the videos whose likeliest class is the true one."),
    (r"top5", "Counts the videos whose true class is among the five likeliest."),
    (r"mean_class", "Averages over the classes the share of their videos that is named rightly."),
    (
        r"mAP",
        "Says how far in front the highlights stand when the saliency orders the clips: the mean average precision of "
        "the domains.",
    ),
    (
        r"mAP-(?P<domain>.+)",
        "Says how far in front the highlights of the domain {domain} stand when the saliency orders the clips: its "
        "mean average precision.",
    ),
)


def metric_words(name: str) -> str:
    """What a number of a brief says; empty for one that nobody here knows. All are in percent, more is better."""
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, name):
            parts = found.groupdict()
            called, level, k = parts.get("range", ""), parts.get("level", ""), parts.get("k", "")
            parts["range"] = _RANGES.get(called, f"; of true moments, those of the range {called} count")
            parts["level"] = _LEVELS.get(level, level)
            parts["first"] = "the first moment" if k == "1" else f"the first {k} moments"
            return words.format(**parts)
    return ""
