"""The repository: versions of bundles and the patches between them, under signed metadata, for devices to fetch."""

from cloud.repository.repository import Published, Repository

__all__ = ["Published", "Repository"]
