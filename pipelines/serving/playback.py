"""Videos as a browser takes them: the file itself by range requests, and parts that were cut out."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipelines.serving.service import Service

TYPES = {
    **dict.fromkeys((".mp4", ".m4v", ".f4v"), "video/mp4"),
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".ogv": "video/ogg",
}


def routes(service: Service) -> list[Route]:
    """The addresses of a video's pictures and sound."""

    def file(request: Request) -> Response:
        video = service.video(request.path_params["id"])
        media_type = TYPES.get(video.path.suffix.lower(), "application/octet-stream")
        return FileResponse(video.path, media_type=media_type)

    def cut_file(request: Request) -> Response:
        cut = service.cuts.get(request.path_params["id"])
        media_type = TYPES.get(cut.path.suffix.lower(), "application/octet-stream")
        return FileResponse(cut.path, media_type=media_type, filename=cut.name)

    return [Route("/api/videos/{id}/file", file), Route("/api/cuts/{id}", cut_file)]
