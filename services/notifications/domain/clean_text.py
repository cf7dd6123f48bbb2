"""Text that somebody else has written, made harmless for a line of a mail."""

import re
import unicodedata

TEXT_MAX_CHARACTERS = 100
"""Longer names are cut: a name is no place for a message of one's own."""
DESCRIPTION_MAX_CHARACTERS = 500
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}
"""Categories of control characters, of those that turn the direction of text, and of line separators."""
_LINK = re.compile(r"(?i)[a-z][a-z0-9+.-]*:|www\.|[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}")
_ZERO_WIDTH_SPACE = "\u200b"


def clean_text(text: str, max_characters: int = TEXT_MAX_CHARACTERS) -> str:
    """Return text as one line, without invisible characters, cut to a length, and with nothing to click on.

    Mail clients turn whatever looks like an address into a link. A space without width inside it prevents
    that.
    """
    visible = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    line = " ".join(visible.split())
    if len(line) > max_characters:
        line = line[: max_characters - 1].rstrip() + "…"
    return _LINK.sub(_unlink, line)


def _unlink(found: re.Match[str]) -> str:
    return re.sub(r"([.:])", rf"\1{_ZERO_WIDTH_SPACE}", found[0])
