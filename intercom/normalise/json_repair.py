"""Repairs JSON text with characters that are no Unicode, which strict decoders refuse.

The server would send the same bytes at every try, so refusing them would end a table's sync for good because of one
character.
"""

from __future__ import annotations

import re
from typing import Final

# A pair of surrogates, a lone one (the group), or any other escape, so that "\\\\ud83d" is not taken for one.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def repair(text: bytes) -> bytes:
    """JSON text that a strict decoder accepts, for text that it refused; valid text comes back unchanged.

    A lone surrogate escape (half an emoji, cut off by some client) becomes its own spelling as plain characters:
    ``"\\ud83d"`` is then six characters; bytes that are no UTF-8 become U+FFFD.
    """
    text = text.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda match: b"\\" + match[0] if match[1] else match[0], text)
