"""A Django project in one module: a view that names a file by X-Sendfile, and django-sendfile2's."""
from __future__ import annotations

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SENDFILE_BACKEND="django_sendfile.backends.xsendfile",
    SENDFILE_ROOT=os.environ["FILES"],
    MIDDLEWARE=[
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django_sendfile import sendfile  # noqa: E402


def plain(request, name):
    response = HttpResponse(content_type="text/x-test")
    response["X-Sendfile"] = os.path.join(os.environ["FILES"], name).encode().decode("latin-1")
    return response


def library(request, name):
    return sendfile(request, name, attachment=True)


urlpatterns = [path("plain/<path:name>", plain), path("library/<path:name>", library)]
app = get_wsgi_application()
asgi = get_asgi_application()
