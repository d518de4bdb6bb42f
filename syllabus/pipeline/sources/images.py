"""Folders of images: one example a file; its class is the name of the folder that it lies in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from syllabus.manifests.storage import sha256_of
from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.cells import records_of
from syllabus.pipeline.sources.records import CHUNK_BYTES, CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.sampling import Sample, spread
from syllabus.pipeline.sources.sizes import TooLarge

COLUMNS = ("image", "folder", "path")
LEAST_ROWS = 512
CUT_EVERY = 128


class ImageFolderSource(Source):
    """Image files below one directory, with the columns `image`, `folder` and `path`."""

    suffixes = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

    def names(self, columns: Columns) -> list[str]:  # noqa: ARG002, D102
        return list(COLUMNS)

    def check(self, columns: Columns) -> None:  # noqa: D102
        if columns.weight is not None:
            raise UserError(
                f"{self.store.url()}: weight={columns.weight!r}: a folder of images has no column of weights"
            )
        for name in columns.names_among(COLUMNS):
            if name not in COLUMNS:
                raise UserError(
                    f"{self.store.url()}: {suggestion('column', name, COLUMNS)} (a folder of images)"
                )
        if (columns.kind, columns.content) != ("image", "image"):
            raise UserError(
                f"{self.store.url()}: {columns.kind}={columns.content!r}: a folder of images holds images"
                " only; give image='image'"
            )

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        self.check(columns)
        # A chunk ends at an image that its own content chooses: adding or removing one image then changes
        # the chunk that it lies in and, but for cuts that are forced by its size, no other.
        members: list[str] = []
        digest, held = hashlib.sha256(), 0
        for file in self.files:
            image, own = self._image(file, columns.limits.max_image_bytes)
            members.append(file)
            digest.update(own)
            held += len(image)
            chosen = int.from_bytes(own[:8], "little") % CUT_EVERY == 0
            full = len(members) == chunk_rows or held >= CHUNK_BYTES
            if full or (chosen and len(members) >= LEAST_ROWS):
                yield _chunk(members, digest)
                members, digest, held = [], hashlib.sha256(), 0
        if members:
            yield _chunk(members, digest)

    def sample(self, columns: Columns, rows: int) -> Sample:  # noqa: D102
        digest, members = hashlib.sha256(), spread(self.files, rows)
        for file in members:
            digest.update(self._image(file, columns.limits.max_image_bytes)[1])
        return Sample([_chunk(members, digest)], len(members), len(self.files), True)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        for chunk in chunks:
            images, digest = [], hashlib.sha256()
            for file in chunk.members:
                image, own = self._image(file, columns.limits.max_image_bytes)
                images.append(image)
                digest.update(own)
            if digest.hexdigest() != chunk.digest:
                raise UserError(
                    f"{self.store.url(chunk.file)}: it, or an image near it, has changed; run again"
                )
            values = {
                "image": images,
                "folder": [file.rpartition("/")[0].rpartition("/")[2] or None for file in chunk.members],
                "path": list(chunk.members),
            }
            yield records_of(columns, values, 0)

    def contents(self, chunks: list[Chunk], rows: list[list[int]], columns: Columns) -> Iterator[list[bytes]]:
        """Yield the bytes of some images of each chunk; the others are not opened."""
        most = columns.limits.max_image_bytes
        for chunk, wanted in zip(chunks, rows, strict=True):
            images = (self._image(chunk.members[row], most)[0] for row in wanted)
            yield [image for image in images if not isinstance(image, TooLarge)]  # accepted ones, so all

    def _stamps(self) -> dict[str, tuple[int, int]]:
        return {}  # a million images: see check_unchanged

    def check_unchanged(self, chunk: Chunk) -> None:
        """Do nothing: `read` has every byte at hand and compares the digests themselves."""

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        raise UserError(
            f"{self.store.url()}: a folder of images holds no embeddings (column {columns.content!r})"
        )

    def _image(self, file: str, most: int) -> tuple[bytes | TooLarge, bytes]:
        """The bytes of an image, of at most `most`, and their digest."""
        with self.opened(file) as handle:
            if (size := handle.size()) > most:
                return TooLarge(f"{size:,} bytes"), bytes.fromhex(sha256_of(self.store, file))
            image = bytes(handle.read())
        return image, hashlib.sha256(image).digest()


def _chunk(members: list[str], digest: hashlib._Hash) -> Chunk:
    return Chunk(members[0], 0, len(members), digest.hexdigest(), members=tuple(members))
