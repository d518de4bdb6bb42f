"""Folders of images: one example a file; its class is the name of the folder that it lies in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.cells import records_of
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records

COLUMNS = ("image", "folder", "path")
LEAST_ROWS = 512
CUT_EVERY = 128


class ImageFolderSource(Source):
    """Image files below one directory, with the columns `image`, `folder` and `path`."""

    suffixes = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        if columns.weight is not None:
            raise UserError(
                f"{self.store.url()}: weight={columns.weight!r}: a folder of images has no column of weights"
            )
        for name in columns.names:
            if name not in COLUMNS:
                raise UserError(
                    f"{self.store.url()}: {suggestion('column', name, COLUMNS)} (a folder of images)"
                )
        if (columns.kind, columns.content) != ("image", "image"):
            raise UserError(
                f"{self.store.url()}: {columns.kind}={columns.content!r}: a folder of images holds images"
                " only; give image='image'"
            )
        # A chunk ends at an image that its own content chooses: adding or removing one image then changes
        # the chunk that it lies in and, but for cuts that are forced by its size, no other.
        members: list[str] = []
        digest = hashlib.sha256()
        for file in self.files:
            own = hashlib.sha256(self._bytes(file)).digest()
            members.append(file)
            digest.update(own)
            chosen = int.from_bytes(own[:8], "little") % CUT_EVERY == 0
            if len(members) == chunk_rows or (chosen and len(members) >= LEAST_ROWS):
                yield _chunk(members, digest)
                members, digest = [], hashlib.sha256()
        if members:
            yield _chunk(members, digest)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        for chunk in chunks:
            images = [self._bytes(file) for file in chunk.members]
            if _digest(images) != chunk.digest:
                raise UserError(
                    f"{self.store.url(chunk.file)}: it, or an image near it, has changed; run again"
                )
            values = {
                "image": images,
                "folder": [file.rpartition("/")[0].rpartition("/")[2] or None for file in chunk.members],
                "path": list(chunk.members),
            }
            yield records_of(columns, values, 0)

    def contents(self, chunks: list[Chunk], rows: list[list[int]], columns: Columns) -> Iterator[list[bytes]]:  # noqa: ARG002
        """Yield the bytes of some images of each chunk; the others are not opened."""
        for chunk, wanted in zip(chunks, rows, strict=True):
            yield [self._bytes(chunk.members[row]) for row in wanted]

    def _stamps(self) -> dict[str, tuple[int, int]]:
        return {}  # a million images: see check_unchanged

    def check_unchanged(self, chunk: Chunk) -> None:
        """Do nothing: `read` has every byte at hand and compares the digests themselves."""

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        raise UserError(
            f"{self.store.url()}: a folder of images holds no embeddings (column {columns.content!r})"
        )

    def _bytes(self, file: str) -> bytes:
        with self.opened(file) as handle:
            return bytes(handle.read())


def _digest(images: list[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(image).digest() for image in images)).hexdigest()


def _chunk(members: list[str], digest: hashlib._Hash) -> Chunk:
    return Chunk(members[0], 0, len(members), digest.hexdigest(), members=tuple(members))
