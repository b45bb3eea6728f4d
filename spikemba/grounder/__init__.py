"""The front door: video files and sentences in, moments out. `spikemba.load("mini").ground(file, sentence)`.

`grounder.py` comes first: `load` and the `Grounder` that it gives. `models.py` holds what answers, a checkpoint or an
encoder alone, `feature_cache.py` what one question leaves for the next, `result.py` what comes out.
"""
