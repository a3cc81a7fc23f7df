from __future__ import annotations

from django.db import models


class Book(models.Model):
    title = models.CharField(max_length=100, unique=True)
    pages = models.PositiveIntegerField()
    cover = models.FileField(upload_to="covers", blank=True)

    def __str__(self) -> str:
        return self.title
