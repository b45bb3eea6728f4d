"""Encoders: frames and sentences to features. None reads video files or writes any.

In:    frames of clips, uint8; sentences.
Out:   a row of numbers per clip, and per token.
First: base.py, what an encoder is.
"""

from spikemba.encoders.base import TextEncoder, TextFeatures, VideoEncoder, load_encoder, load_encoders

__all__ = ["TextEncoder", "TextFeatures", "VideoEncoder", "load_encoder", "load_encoders"]
