"""The front door: `spikemba.load("mini").ground(file, sentence)`.

In:    a trained model or an encoder alone; video files and sentences.
Out:   typed results with moments and saliency; features of a video are kept for the next question.
First: grounder.py, `load` and the `Grounder` that it gives.
"""
