"""Where each view of the shop is."""
from __future__ import annotations

from books import views
from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("books/", views.index),
    path("b\xfccher/<str:title>/", views.show),
    path("books/<int:number>/cover/", views.cover),
    path("count/", views.count),
    path("upload/<str:kind>/", views.upload),
    path("stream/<str:name>/", views.stream),
    path("endless/", views.endless),
    path("wrapped/", views.wrapped),
    path("versioned/", views.versioned),
    path("absolute/", views.absolute),
    path("cookies/", views.cookies),
    path("fail/", views.fail),
]
