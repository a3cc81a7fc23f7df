"""What the tests ask for; /admin/ does the rest."""
from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.http import (
    FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse,
    StreamingHttpResponse,
)  # fmt: skip
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import condition, require_safe

from .models import Book

HANDLERS = {"memory": MemoryFileUploadHandler, "file": TemporaryFileUploadHandler}


def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"books": list(Book.objects.order_by("title").values("title", "pages"))})


def show(request: HttpRequest, title: str) -> JsonResponse:
    return JsonResponse({"path": request.path, "title": title, "query": request.GET.dict()})


@require_safe
def cover(request: HttpRequest, number: int) -> FileResponse:
    book = get_object_or_404(Book, pk=number)
    return FileResponse(book.cover.open("rb"), as_attachment=True, filename="\xdcbersicht.bin")


def count(request: HttpRequest) -> JsonResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"count": request.session["count"], "process": os.getpid()})


# Handlers must be chosen before the CSRF check reads the form.
@csrf_exempt
def upload(request: HttpRequest, kind: str) -> HttpResponse:
    request.upload_handlers = [HANDLERS[kind](request)]
    return take_upload(request)


@csrf_protect
def take_upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "books/upload.html")
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse(
        {"class": type(file).__name__, "name": file.name, "size": file.size,
         "sha256": digest.hexdigest()}
    )  # fmt: skip


def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """The second piece is made when the client says, by a file, that it has seen the first."""

    def pieces() -> Iterator[str]:
        yield json.dumps({"process": os.getpid()}) + "\n"
        deadline = time.monotonic() + 25
        while not (settings.SCRATCH / f"seen-{name}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield "second\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            (settings.SCRATCH / "endless-closed").touch()

    return StreamingHttpResponse(pieces())


def wrapped(request: HttpRequest) -> HttpResponse:
    """Plain WSGI from within Django: wsgi.file_wrapper over a file that was read from."""
    file = Path(__file__).open("rb")
    file.readline()
    return StreamingHttpResponse(request.META["wsgi.file_wrapper"](file, 512))


def version(request: HttpRequest) -> str:
    return '"of-' + str(Book.objects.count()) + '"'


@condition(etag_func=version)
def versioned(request: HttpRequest) -> HttpResponse:
    return HttpResponse("content", content_type="text/plain")


def absolute(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(request.build_absolute_uri("/books/?a=b\xfccher"))


def cookies(request: HttpRequest) -> JsonResponse:
    response = JsonResponse({name: len(value) for name, value in request.COOKIES.items()})
    for number in range(20):
        response.set_cookie(f"set{number}", "v" * 200)
    return response


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError("no such shelf")
