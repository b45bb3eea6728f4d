"""Encoders: frames and sentences to features."""

from spikemba.encoders.base import TextEncoder, TextFeatures, VideoEncoder, load_encoder, load_encoders

__all__ = ["TextEncoder", "TextFeatures", "VideoEncoder", "load_encoder", "load_encoders"]
