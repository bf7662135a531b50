"""The images of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gpuimg.files.meta import NO_METADATA, Pixels, Read

BAND_BYTES = 1 << 22
INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
REALS = (*INTEGERS, "float16", "float32", "float64")


class Pages:
    """The images of a file, each decoded on demand.

    Attributes
    ----------
    nbytes : decoded bytes of all images
    metadata : function that reads the metadata, once the pixels are decoded
    has_alpha : whether the last channel is alpha
    reduce : function that lets the decoder reduce the image to not less than the given rows and columns
    """

    def __init__(
        self,
        decoders: Sequence[Callable[[], Pixels]],
        nbytes: int,
        metadata: Callable[[], Read] = lambda: Read(NO_METADATA),
        has_alpha: bool = False,
        reduce: Callable[[int, int], object] = lambda rows, cols: None,
    ) -> None:
        self.decoders = decoders
        self.has_alpha = has_alpha
        self.nbytes = nbytes
        self.metadata = metadata
        self.reduce = reduce

    def __len__(self) -> int:
        return len(self.decoders)

    def __iter__(self) -> Iterator[Pixels]:
        return (decode() for decode in self.decoders)


def differing(pages: dict[int, str]) -> str:
    """Return the error for pages that do not form a stack."""
    named = ", ".join(f"page {number} is {words}" for number, words in list(pages.items())[:4])
    return f"its pages have different shapes or dtypes: {named}; read one of them with page={min(pages)}"


def bands(image: Pixels, rows: int | None = None) -> Iterator[Pixels]:
    """Split an image into slices of rows, of a few megabytes by default."""
    rows = rows or max(1, BAND_BYTES // max(1, image.nbytes // image.shape[0]))
    return (image[top : top + rows] for top in range(0, image.shape[0], rows))
