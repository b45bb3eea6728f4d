"""The two calls of uploads: one begins a file, the other adds a part to it."""

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.serving.faults import NotThere
from pipelines.serving.footage.uploads import AT_ONCE, Uploads, WrongPlace
from pipelines.serving.service import Service
from pipelines.serving.upload_messages import Upload, UploadPart, UploadProgress
from pipelines.serving.web.bodies import body_of, query_of

OFF = "no new videos are taken; start the server with --uploads DIR to allow that"


def routes(service: Service) -> list[Route]:
    """The addresses of uploads; where none are taken they say so."""
    uploads, videos = service.uploads, service.videos
    own = anyio.CapacityLimiter(AT_ONCE)  # threads: a slow disk keeps those of other calls free

    async def begin(request: Request) -> Response:
        asked = await body_of(request, Upload)
        begun = await anyio.to_thread.run_sync(_on(uploads).begin, asked.name, asked.size_bytes, limiter=own)
        return _sent(UploadProgress(id=begun.id, received=0), 201)

    async def add(request: Request) -> Response:
        taken = _on(uploads)
        upload_id, at = request.path_params["id"], query_of(request, UploadPart).at
        if (over := taken.done(upload_id)) is not None:  # its last reply was lost
            found = await anyio.to_thread.run_sync(videos.add, over.path, limiter=own)
            if found is not None:
                return _sent(UploadProgress(id=over.id, received=over.size_bytes, video=found.id))
        try:
            await _receive(taken, upload_id, at, request, own)
        except WrongPlace as wrong:
            return JSONResponse({"error": str(wrong), "received": wrong.received}, 409)
        except ClientDisconnect:  # what came of the part is kept; the next one begins behind it
            return Response(status_code=400)
        upload = taken.get(upload_id)
        if not upload.is_whole:
            return _sent(UploadProgress(id=upload.id, received=upload.received))
        path = await anyio.to_thread.run_sync(taken.finish, upload, limiter=own)
        found = await anyio.to_thread.run_sync(videos.add, path, limiter=own)
        return _sent(UploadProgress(id=upload.id, received=upload.received, video=None if found is None else found.id))

    return [Route("/api/uploads", begin, methods=["POST"]), Route("/api/uploads/{id}", add, methods=["PUT"])]


async def _receive(uploads: Uploads, upload_id: str, at: int, request: Request, threads: anyio.CapacityLimiter) -> None:
    with uploads.receiving(upload_id, at) as part:
        async for chunk in request.stream():
            await anyio.to_thread.run_sync(part.write, chunk, limiter=threads)


def _on(uploads: Uploads | None) -> Uploads:
    if uploads is None:
        raise NotThere(OFF)
    return uploads


def _sent(progress: UploadProgress, status: int = 200) -> Response:
    return Response(progress.model_dump_json(), status, media_type="application/json")
