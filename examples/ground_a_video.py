"""Ask the bundled model about the bundled video, from Python.

python examples/ground_a_video.py
"""

from pathlib import Path

import spikemba

VIDEO = Path(__file__).with_name("shapes.mp4")


def main() -> None:
    grounder = spikemba.load("mini")  # a run folder works as well
    for found in grounder.ground(VIDEO, ["a red circle enters", "something blue spins"], top=3):
        print(found.query)
        for moment in found.moments:
            print(f"  {moment.start_s:6.2f} s to {moment.end_s:6.2f} s, score {moment.score:.3f}")


if __name__ == "__main__":
    main()
