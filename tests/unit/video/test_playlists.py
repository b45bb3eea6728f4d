"""Lists of videos that call themselves videos."""

import pytest

from spikemba.errors import VideoError
from spikemba.video.sampling import VideoReader

LISTS = {
    "M3U": "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{video}\n#EXT-X-ENDLIST\n",
    "M3U with a mark": "\ufeff#EXTM3U\n{video}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{video}'\n",
    "concat without its first line": "file '{video}'\nfile '{video}'\n",
    "DASH": '<?xml version="1.0"?>\n<!-- by a packager -->\n<MPD type="static"><BaseURL>{video}</BaseURL></MPD>\n',
    "ASX": '<asx version="3.0"><entry><ref href="{video}"/></entry></asx>',
    "PLS": "[playlist]\nFile1={video}\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_playlist_that_calls_itself_a_video_is_refused(name, tmp_path, make_video):
    import numpy as np

    video = make_video("real.mp4", np.zeros((5, 32, 32, 3), np.uint8), fps=5)
    path = tmp_path / "list.mp4"
    path.write_text(LISTS[name].format(video=video))
    with pytest.raises(VideoError, match=r"list\.mp4: is an? .*, which only names other files"):
        VideoReader(path)
