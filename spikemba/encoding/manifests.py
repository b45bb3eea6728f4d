"""What is noted beside features, so that features made otherwise are never taken for them."""

from spikemba.encoders import ClipEncoder, SoundEncoder, TextEncoder, VideoEncoder
from spikemba.encoders.base import EncoderOptions
from spikemba.features import SOUND, SUBTITLES, Dtype, Manifest


def video_manifest(encoder: ClipEncoder, clip_s: float, dtype: Dtype) -> Manifest:
    """What says how clip features were made."""
    options: EncoderOptions | None = getattr(encoder, "options", None)
    if isinstance(encoder, VideoEncoder):
        frames = _of_pictures(encoder, clip_s, options)
    elif isinstance(encoder, SoundEncoder):
        frames = f"{SOUND}, {encoder.rate_hz} Hz, the mean of its channels"
    else:
        frames = f"{SUBTITLES}, the mean of those of a clip"
    if options is not None and options.precision != "float32":
        frames += f", {options.precision}"
    return Manifest(
        encoder=encoder.name, dim=encoder.dim, weights=encoder.weights, clip_s=clip_s, frames=frames, dtype=dtype
    )


def _of_pictures(encoder: VideoEncoder, clip_s: float, options: EncoderOptions | None) -> str:
    rule = encoder.frame_rule(clip_s)
    frames = f"{float(rule.fps):g} fps, {rule.resize} {rule.size_px} px"
    if rule.cycle > 1:
        frames += f", {len(rule.wanted)} of {rule.cycle}"
    if rule.repeat > 1:
        frames += f", the last {rule.repeat} repeated"
    if options is not None and options.frames != "published":
        frames += f", {options.frames}"
    return frames


def text_manifest(encoder: TextEncoder, dtype: Dtype) -> Manifest:
    """What says how query features were made."""
    return Manifest(
        encoder=f"{encoder.name}_text", kind="text", dim=encoder.text_dim, weights=encoder.weights, dtype=dtype
    )
