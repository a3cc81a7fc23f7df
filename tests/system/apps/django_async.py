"""Django in its ASGI form, in one file: with its static files, and WebSockets by Channels."""
from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

HERE = Path(__file__).parent
SCRATCH = Path(os.environ["SCRATCH"])

settings.configure(
    SECRET_KEY="secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=["django.contrib.sessions", "django.contrib.staticfiles"],
    SESSION_ENGINE="django.contrib.sessions.backends.file", SESSION_FILE_PATH=str(SCRATCH),
    STATIC_URL="/static/", STATICFILES_DIRS=[HERE / "django_static"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)  # fmt: skip
django.setup()

# These need the settings.
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402


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


async def endless(request):
    async def pieces():
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            (SCRATCH / "endless-closed").touch()

    return StreamingHttpResponse(pieces())


async def count(request):
    number = await request.session.aget("count", 0) + 1
    await request.session.aset("count", number)
    return JsonResponse({"count": number, "url": reverse("book", args=[number])})


def book(request, number):
    return HttpResponse(f"book {number}")


async def form(request):
    return JsonResponse(dict(request.POST.lists()))


async def file(request):
    return FileResponse((HERE / "django_async.py").open("rb"), content_type="text/x-python")


class Echo(WebsocketConsumer):
    """A synchronous one: Channels runs it in a thread."""

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data, bytes_data)


class Room(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("room", {"type": "say", "text": text_data})

    async def say(self, event):
        await self.send(event["text"])

    async def disconnect(self, code):
        await self.channel_layer.group_discard("room", self.channel_name)
        await self.channel_layer.group_send("room", {"type": "say", "text": f"left {code}"})


async def fails(request):
    raise RuntimeError("this view fails")


urlpatterns = [
    path("hello/<str:name>", hello),
    path("sync", sync),
    path("upload", upload),
    path("stream", stream),
    path("endless", endless),
    path("count", count),
    path("books/<int:number>/", book, name="book"),
    path("form", form),
    path("file", file),
    path("fails", fails),
]
application = ProtocolTypeRouter({
    "http": ASGIStaticFilesHandler(get_asgi_application()),
    "websocket": URLRouter([path("echo", Echo.as_asgi()), path("room", Room.as_asgi())]),
})  # fmt: skip
