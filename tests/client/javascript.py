"""The JavaScript engines of this machine, Node and QuickJS, to compute ``JSON.stringify(JSON.parse(text))``."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Stringify = Callable[[bytes], bytes]

# Frames in both directions: four bytes of length, most significant first, then as many bytes of UTF-8.
_NODE_LOOP = """
let pending = Buffer.alloc(0);
process.stdin.on('data', (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
    const end = 4 + pending.readUInt32BE(0);
    const answer = Buffer.from(JSON.stringify(JSON.parse(pending.toString('utf8', 4, end))));
    pending = pending.subarray(end);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(answer.length);
    process.stdout.write(Buffer.concat([length, answer]));
  }
});
"""


@contextmanager
def node() -> Iterator[Stringify]:
    """Run one Node process, and yield a function that sends it texts."""
    process = subprocess.Popen(["node", "-e", _NODE_LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    to, from_ = process.stdin, process.stdout

    def stringify(text: bytes) -> bytes:
        to.write(struct.pack(">I", len(text)) + text)
        to.flush()
        head = from_.read(4)
        assert len(head) == 4, "Node could not parse the text"
        return from_.read(*struct.unpack(">I", head))

    with process:
        try:
            yield stringify
        finally:
            to.close()


@contextmanager
def quickjs() -> Iterator[Stringify]:
    """Yield a function that evaluates JavaScript inside this process."""
    import quickjs as engine

    function = engine.Context().eval("(text) => JSON.stringify(JSON.parse(text))")
    yield lambda text: function(text.decode()).encode()


def _has_quickjs() -> bool:
    try:
        import quickjs  # noqa: F401
    except ImportError:
        return False
    return True


ENGINES: dict[str, Callable[[], AbstractContextManager[Stringify]]] = {
    **({"node": node} if shutil.which("node") else {}),
    **({"quickjs": quickjs} if _has_quickjs() else {}),
}
"""The engines of this machine, by name."""
