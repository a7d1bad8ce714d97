"""HPACK header decoding (RFC 7541). Loaded only when a header block is not the plain success that every call expects."""

# Lengths of the Huffman codes of symbols 0-256, as letters: A is 5, Z is 30 (RFC 7541, appendix B). The code is canonical, so
# the lengths alone give every code.
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABA"
    "BABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRU"
    "VVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)

# RFC 7541, appendix A: entries 1-61 each a name and, after a space, a value.
_STATIC_TEXT = (
    ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|"
    ":status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|"
    "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|"
    "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|"
    "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|"
    "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|"
    "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
_EOS = 256
_MAX_TABLE = 4096  # octets; the default of SETTINGS_HEADER_TABLE_SIZE, which this client does not change
_MAX_HEADERS = 65_536  # octets of one decoded list; a block may refer to one long entry many times


class HpackError(Exception):
    """The block is not HPACK. The connection's header state is lost with it."""


def _static_table() -> list[tuple[bytes, bytes]]:
    entries = []
    for entry in _STATIC_TEXT.split("|"):
        name, _, value = entry.partition(" ")
        entries.append((name.encode(), value.encode()))
    return entries


def _huffman_codes() -> dict[int, int]:
    """Canonical codes: by length, then by symbol. The key is the code with a leading 1 bit, which keeps lengths apart."""
    codes: dict[int, int] = {}
    code = last = 0
    for length, symbol in sorted((ord(letter) - 60, symbol) for symbol, letter in enumerate(_LENGTHS)):
        code <<= length - last
        codes[1 << length | code] = symbol
        code += 1
        last = length
    return codes


_STATIC = _static_table()
_CODES = _huffman_codes()


def huffman_decode(data: bytes) -> bytes:
    """The string behind a Huffman-coded one (RFC 7541, section 5.2). Raises HpackError on EOS or bad padding."""
    out = bytearray()
    node = 1
    for byte in data:
        for bit in (7, 6, 5, 4, 3, 2, 1, 0):
            node = node << 1 | byte >> bit & 1
            symbol = _CODES.get(node)
            if symbol is not None:
                if symbol == _EOS:
                    raise HpackError("EOS in a string")
                out.append(symbol)
                node = 1
        if node >> 31:
            raise HpackError("no such code")
    # Padding: fewer than 8 bits, all ones.
    if node >> 8 or node & (node + 1):
        raise HpackError("bad padding")
    return bytes(out)


class Decoder:
    """The decoding side of one connection's header compression: feed it every block, in order."""

    def __init__(self) -> None:
        self._dynamic: list[tuple[bytes, bytes]] = []  # newest first
        self._size = 0
        self._limit = _MAX_TABLE

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The header list of one complete block. Raises HpackError for anything that is not HPACK."""
        headers: list[tuple[bytes, bytes]] = []
        at = total = 0
        while at < len(block):
            first = block[at]
            if first & 0xE0 == 0x20:
                if headers:
                    raise HpackError("table size update after a header")
                size, at = _integer(block, at, 5)
                if size > _MAX_TABLE:
                    raise HpackError("table size over the limit")
                self._limit = size
                self._evict()
                continue
            if first & 0x80:
                index, at = _integer(block, at, 7)
                header = self._entry(index)
            else:
                index, at = _integer(block, at, 6 if first & 0x40 else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                header = (name, value)
                if first & 0x40:
                    self._add(header)
            total += len(header[0]) + len(header[1]) + 32
            if total > _MAX_HEADERS:
                raise HpackError("header list too long")
            headers.append(header)
        return headers

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if not index:
            raise HpackError("index 0")
        if index <= len(_STATIC):
            return _STATIC[index - 1]
        if index - len(_STATIC) > len(self._dynamic):
            raise HpackError("index beyond the table")
        return self._dynamic[index - len(_STATIC) - 1]

    def _add(self, header: tuple[bytes, bytes]) -> None:
        self._dynamic.insert(0, header)
        self._size += len(header[0]) + len(header[1]) + 32
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + 32


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer with an N-bit prefix (section 5.1) and where it ends."""
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in (0, 7, 14, 21):
        if at >= len(block):
            raise HpackError("cut integer")
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise HpackError("integer too long")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """A string literal (section 5.2) and where it ends."""
    if at >= len(block):
        raise HpackError("cut string")
    coded = block[at] & 0x80
    length, at = _integer(block, at, 7)
    if at + length > len(block):
        raise HpackError("cut string")
    data = block[at : at + length]
    return (huffman_decode(data) if coded else data), at + length
