"""Whether a browser plays a file as it is, by the times that the answers are in; and what it is called to one."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spikemba.errors import VideoError
from spikemba.video.decoding import AGAIN, decoded, opened, rate, start_of
from spikemba.video.orientation import orientation
from spikemba.video.sound import default_track

_MOV, _WEBM = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_AAC_TYPES = {"LC": "mp4a.40.2", "HE-AAC": "mp4a.40.5", "HE-AACv2": "mp4a.40.29"}
_PROFILES = (66, 77, 88, 100)
"""Of H.264 with 8 bits and 4:2:0, as ITU-T H.264 counts them: Baseline, Main, Extended, High."""
_PLAIN = ("yuv420p", "yuvj420p")
_SOUNDS = {"mp4": ("aac", "mp3"), "webm": ("opus", "vorbis")}


@dataclass(frozen=True)
class Playable:
    """How a browser gets to see a file."""

    as_it_is: bool
    type: str
    """MIME type with codecs: of the file, or else of its pieces."""
    reason: str
    """Why it cannot be played as it is, in one line; empty where it can."""
    copies: bool
    """Whether its pictures may go into pieces as they are stored, where its key frames allow it."""
    heard: bool
    """Whether it has sound that can be decoded."""


def how_to_play(path: Path) -> Playable:
    """Read a file's head and first picture.  Raises VideoError when it cannot be read as a video."""
    with opened(path, "NONE") as (container, stream):
        sound = default_track(container, stream)
        first = next(decoded(container, stream), None)
        if first is None:
            raise VideoError(path, f"no frame of its video can be decoded; the file is damaged, {AGAIN}")
        plain = _plain_h264(stream, first)
        reason = _reason(path, container, stream, first, sound)
        # AVI does not say when a picture is shown; the answers' times are those of decoding, libav's guess is another
        copies = plain and not orientation(first).filters() and container.format.name != "avi"
        codec = avc_type(stream) if copies else "avc1.640028"
        if not reason:
            return Playable(True, _file_type(container, stream, sound), "", copies, sound is not None)
    heard = "mp4a.40.2" if sound is not None else ""
    kind = f'video/mp4; codecs="{",".join(part for part in (codec, heard) if part)}"'
    return Playable(False, kind, reason, copies, sound is not None)


def _reason(path: Path, container: InputContainer, stream: VideoStream, first: VideoFrame, sound: Any) -> str:
    """Why no browser is to be relied on for the file as it is; empty where each is."""
    form = container.format.name
    webm = form == _WEBM and _says_webm(path)
    if form != _MOV and not webm:
        return f"browsers do not play this container ({container.format.long_name or form})"
    codec = stream.codec_context.codec.canonical_name
    played = ("vp8", "vp9", "av1") if webm else ("h264",)
    if codec not in played:
        return f"not every browser decodes {codec}"
    if first.format.name not in _PLAIN:
        return f"not every browser decodes {codec} in {first.format.name}"
    if not webm and not _plain_h264(stream, first):
        return "its pictures are interlaced" if first.interlaced_frame else "its H.264 has an uncommon profile"
    if sound is not None and sound.codec_context.codec.canonical_name not in _SOUNDS["webm" if webm else "mp4"]:
        return f"not every browser decodes its sound ({sound.codec_context.codec.canonical_name})"
    if sound is None and len(container.streams.audio):
        return "its sound cannot be decoded"
    return _odd_tracks(container, stream, sound) or _odd_turn(first) or _odd_clock(container, stream)


def _says_webm(path: Path) -> bool:
    """Whether the head of a Matroska file says that it is a WebM."""
    with path.open("rb") as file:
        return b"webm" in file.read(64)


def _odd_tracks(container: InputContainer, stream: VideoStream, sound: Any) -> str:
    """A browser takes the first track of each kind."""
    pictures = [one for one in container.streams.video if one.codec_context is not None]
    if pictures[0] is not stream:
        return "its main pictures are not its first track"
    if sound is not None and container.streams.audio[0] is not sound:
        return "its default sound is not its first track"
    return ""


def _odd_turn(first: VideoFrame) -> str:
    """Browsers turn by quarters, and not all of them mirror."""
    turned = orientation(first)
    if turned.turn_deg % 90 > 1 or turned.a * turned.d - turned.b * turned.c < 0:
        return f"its pictures are turned by {turned.turn_deg} degrees or mirrored"
    return ""


def _odd_clock(container: InputContainer, stream: VideoStream) -> str:
    """A browser's clock begins where the stamps say 0, that of the answers at the file's first picture or sound."""
    frame_s = 1 / rate(stream) if rate(stream) else Fraction(1, 25)
    start = start_of(container)
    if abs(start) > frame_s / 2:
        return f"its time does not begin at 0 but at {float(start):.3f} s"
    return ""


def _plain_h264(stream: VideoStream, first: VideoFrame) -> bool:
    """Whether pictures are H.264 as every browser decodes it: 8 bits, 4:2:0, not interlaced."""
    if stream.codec_context.codec.canonical_name != "h264" or first.format.name not in _PLAIN:
        return False
    parameters = _sps(bytes(stream.codec_context.extradata or b""))
    return parameters[:1] != b"" and parameters[0] in _PROFILES and not first.interlaced_frame


def _sps(extradata: bytes) -> bytes:
    """Profile, constraints and level of H.264; empty where there are none.

    Source: ISO/IEC 14496-15, 5.3.3.1 (avcC); ITU-T H.264, 7.3.2.1.1 and Annex B.
    """
    if extradata[:1] == b"\x01":
        return extradata[1:4]
    at = 0
    while (at := extradata.find(b"\0\0\1", at) + 3) > 2:
        if extradata[at : at + 1] and extradata[at] & 31 == 7:
            return extradata[at + 1 : at + 4]
    return b""


def avc_type(stream: VideoStream) -> str:
    """`avc1.` with profile, constraints and level, as RFC 6381 writes it."""
    return f"avc1.{_sps(bytes(stream.codec_context.extradata or b'')).hex()}"


def _file_type(container: InputContainer, stream: VideoStream, sound: Any) -> str:
    codec = stream.codec_context.codec.canonical_name
    heard = "" if sound is None else sound.codec_context.codec.canonical_name
    if container.format.name == _WEBM:
        names = [_av1_type(stream) if codec == "av1" else codec, heard]
        return f'video/webm; codecs="{",".join(name for name in names if name)}"'
    if heard == "aac":
        heard = _AAC_TYPES.get(str(sound.profile), "mp4a.40.2")
    elif heard == "mp3":
        heard = "mp4a.6B"
    return f'video/mp4; codecs="{",".join(name for name in (avc_type(stream), heard) if name)}"'


def _av1_type(stream: VideoStream) -> str:
    """Source: AV1 Codec ISO Media File Format Binding, 2.3 (av1C) and 5 (codecs parameter)."""
    head = bytes(stream.codec_context.extradata or b"")
    if len(head) < 4 or head[0] != 0x81:
        return "av01.0.08M.08"
    profile, level, tier = head[1] >> 5, head[1] & 31, "H" if head[2] & 0x80 else "M"
    return f"av01.{profile}.{level:02d}{tier}.{10 if head[2] & 0x40 else 8:02d}"
