"""Django in its ASGI form, in one file."""
from __future__ import annotations

import asyncio
import hashlib

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)  # fmt: skip
django.setup()


async def hello(request, name):
    return HttpResponse(f"Hello, {name}! {request.GET.get('q', '')}")


def sync(request):
    return JsonResponse({"host": request.get_host(), "port": request.META["SERVER_PORT"],
                         "secure": request.is_secure()})  # fmt: skip


async def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256(b"".join(file.chunks())).hexdigest()
    return JsonResponse({"size": file.size, "sha256": digest, "text": request.POST["text"]})


async def stream(request):
    async def pieces():
        for number in range(1000):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces())


async def fails(request):
    raise RuntimeError("this view fails")


urlpatterns = [
    path("hello/<str:name>", hello),
    path("sync", sync),
    path("upload", upload),
    path("stream", stream),
    path("fails", fails),
]
application = get_asgi_application()
