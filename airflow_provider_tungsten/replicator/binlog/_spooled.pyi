from collections.abc import Iterator

from typing_extensions import Buffer

class SpooledBuffer:
    """Bytes that grow. More than 16 MiB lie in a file without a name in the folder for temporary files (TMPDIR): no more of
    them stays in memory than is looked at between two calls of :meth:`page_out`.

    Read-only for who looks at it; it cannot grow while somebody does. Not for two threads at once.

    :ivar is_paged: whether they lie in a file.
    """

    is_paged: bool
    def __len__(self) -> int: ...
    def append(self, data: Buffer) -> None:
        """:raises StorageError: the file cannot be written.
        :raises BufferError: somebody looks at the bytes."""
    def page_out(self) -> None:
        """Nothing of a file needs to be in memory; what is looked at again is read again."""
    def __buffer__(self, flags: int, /) -> memoryview: ...

def room_of(data: Buffer) -> SpooledBuffer | None:
    """The buffer that these bytes are, or of which they are a view."""

def steps(data: Buffer, size: int) -> Iterator[memoryview]:
    """The bytes from the first to the last, `size` at a time; what was taken leaves memory where they lie in a file."""
