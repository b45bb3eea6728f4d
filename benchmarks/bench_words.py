"""Which way of hiding a word tells the word that matters, on drawn videos where that is known.

    python benchmarks/bench_words.py build/words

Each video of 40 s shows two events that differ in colour, form or action alone. Asked for the first, the word that
tells it from the second should have the largest effect of the four; by chance one in four has.
"""

import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
from record import Record, options

import spikemba
from spikemba.datasets.synthetic.drawing import render
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, FPS, Actor, Event, Scene, Storyboard
from spikemba.encoders import TextFeatures
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.occlusion import share_within, without, words_of
from spikemba.grounding import Answer
from spikemba.progress import silent
from spikemba.video.files import write_video

PARTS = ("colour", "form", "action")


def planted(i: int) -> tuple[Storyboard, str, float, int]:
    """The i-th video, its sentence, when what it says begins, and the place of the word that matters."""
    rng, part = random.Random(i), PARTS[i % 3]
    colours, forms = rng.sample(COLOURS, 2), rng.sample(FORMS, 2)
    actions = rng.sample([one for one in ACTIONS if one != "leaves"], 2)
    first_s, second_s = rng.choice([(6.0, 24.0), (24.0, 6.0)])
    meant = Actor(colours[0], forms[0], 0.25 + rng.uniform(-0.05, 0.05), 0.5, 0.13)
    look = colours[part == "colour"], forms[part == "form"]
    other = Actor(*look, 0.75 + rng.uniform(-0.05, 0.05), 0.5, 0.13)
    events = [
        Event(meant, actions[0], first_s, first_s + 8),
        Event(other, actions[part == "action"], second_s, second_s + 8),
    ]
    colour = rng.randint(15, 70), rng.randint(15, 70), rng.randint(15, 70)
    in_time = tuple(sorted(events, key=lambda event: event.start_s))
    board = Storyboard(f"planted_{i}", 40.0, (Scene(0.0, 40.0, colour, (meant, other), in_time),), ())
    return board, f"a {colours[0]} {forms[0]} {actions[0]}", first_s, 1 + PARTS.index(part)


def hidden(grounder: Grounder, sentence: str) -> dict[str, list[TextFeatures]]:
    """Way -> the sentence with each of its words hidden in that way."""
    (whole,), words = grounder.text.encode_texts([sentence]), words_of(sentence)
    ways = {
        f"the sentence with {placeholder or 'nothing'!r} for the word": grounder.text.encode_texts(
            [without(sentence, word, placeholder) for word in words]
        )
        for placeholder in ("", "<unknown>")
    }
    if grounder.trained:  # who answers untrained reads no states
        rows = [np.delete(whole.tokens, i, axis=0) for i in range(len(words))]
        ways["the states without the word's"] = [TextFeatures(one, whole.pooled) for one in rows]
    return ways


def score(answer: Answer, start_s: float) -> dict[str, float]:
    """Measure -> what it says of the 8 s from a time on."""
    clip = round(start_s / 2)
    share = share_within(answer.ranking, 2.0, start_s, start_s + 8)
    return {"log share": float(np.log(share)), "mean within": float(answer.ranking[clip : clip + 4].mean())}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="for the drawn videos")
    parser.add_argument("--videos", type=int, default=120)
    arguments = parser.parse_args()
    record = Record(arguments)
    for grounder in (spikemba.load("mini"), spikemba.load(encoder="mini")):
        right = defaultdict(list)
        for i in range(arguments.videos):
            board, sentence, start_s, place = planted(i)
            path = arguments.folder / f"{board.video_id}.mp4"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, render(board), FPS)
            video = grounder.read(path, report=silent)
            for way, texts in hidden(grounder, sentence).items():
                answers = [score(one, start_s) for one in grounder.model.answers([video], texts, 1)]
                for measure in answers[0]:  # the largest effect: the least that is left
                    right[way, measure].append(min(range(4), key=lambda word: answers[word][measure]) == place)
        for (way, measure), found in right.items():
            print(f"{grounder.name:16s}{way:45s}{measure:14s}{100 * np.mean(found):5.0f} %", flush=True)
            line = {
                "model": grounder.name,
                "way": way,
                "measure": measure,
                "right": round(100 * float(np.mean(found)), 1),
            }
            print(json.dumps(line), flush=True)
            trained = "mini" if grounder.trained else "its encoder, untrained"
            record.quality(f"{trained}, {arguments.videos} videos: {way}, {measure}", {"right_word": line["right"]})
    record.keep()


if __name__ == "__main__":
    main()
