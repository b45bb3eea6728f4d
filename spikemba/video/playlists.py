"""Files that are no videos but name some: FFmpeg would open what they name, and take it for the file."""

import re
from pathlib import Path

from spikemba.errors import VideoError

PLAYLIST_FORMATS = {"hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest", "lavfi", "asx"}
"""FFmpeg's names of what opens other files."""

_HEADS = {
    "an M3U playlist": rb"#EXT(M3U|INF|-X-)",
    "an ffconcat script": rb"ffconcat\s+version|file\s+['\"\w./]|#\s*\w[^\n]*\nfile\s+'",
    "a DASH manifest": rb"(<\?xml[^>]*>\s*(<!--.*?-->\s*)*)?<(\w+:)?MPD\b",
    "a playlist in XML": rb"(<\?xml[^>]*>\s*(<!--.*?-->\s*)*)?<(asx|playlist|smil|CompositionPlaylist|AssetMap)\b",
    "a PLS playlist": rb"\[(playlist|reference)\]",
    "a description of a stream (SDP)": rb"v=0\s*[\r\n]+o=",
    "a Windows shortcut": rb"\[InternetShortcut\]",
}
_LENGTH = 4096


def refuse_playlist(path: Path) -> None:
    """Raise VideoError, before anything is opened through it, when a file is a list of others. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_LENGTH)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode()
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for kind, pattern in _HEADS.items():
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            raise VideoError(
                path, f"is {kind}, which only names other files; expected a video file: give those themselves"
            )
