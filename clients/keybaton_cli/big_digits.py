"""A code in digits three lines high, so that it can be read from the other device's chair."""

from __future__ import annotations

# Each digit on a grid of 4 by 6 points; two rows of points become one line of half blocks.
_POINTS = {
    "0": ("####", "#  #", "#  #", "#  #", "#  #", "####"),
    "1": ("  ##", "   #", "   #", "   #", "   #", "   #"),
    "2": ("####", "   #", "####", "#   ", "#   ", "####"),
    "3": ("####", "   #", " ###", "   #", "   #", "####"),
    "4": ("#  #", "#  #", "####", "   #", "   #", "   #"),
    "5": ("####", "#   ", "####", "   #", "   #", "####"),
    "6": ("####", "#   ", "####", "#  #", "#  #", "####"),
    "7": ("####", "   #", "   #", "   #", "   #", "   #"),
    "8": ("####", "#  #", "####", "#  #", "#  #", "####"),
    "9": ("####", "#  #", "####", "   #", "   #", "####"),
}
_BLOCKS = {("#", "#"): "█", ("#", " "): "▀", (" ", "#"): "▄", (" ", " "): " "}


def big(code: str, encoding: str) -> list[str]:
    """Three lines, or none when a character has no large form or the terminal cannot show block characters."""
    if any(character not in _POINTS for character in code):
        return []
    lines = []
    for row in range(0, 6, 2):
        digits = (zip(_POINTS[digit][row], _POINTS[digit][row + 1], strict=True) for digit in code)
        lines.append("   ".join("".join(_BLOCKS[pair] for pair in digit) for digit in digits))
    try:
        "█▀▄".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return []
    return lines
