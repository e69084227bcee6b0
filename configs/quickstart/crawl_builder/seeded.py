"""Where do the crawl's arbitrary choices come from? From hashes of names, never from a clock or a random source."""

import hashlib
import uuid


def number(*names):
    """A 64-bit number that depends on `names` alone."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def record_uuid(content):
    """A version 5 uuid of the bytes `content`: equal content, equal id."""
    digest = bytearray(hashlib.sha1(b"gristmill quickstart\0" + content).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


class Chooser:
    """A stream of choices that its name determines."""

    def __init__(self, *names):
        self.names = names
        self.drawn = 0

    def below(self, limit):
        """An integer from 0 to `limit` - 1."""
        self.drawn += 1
        return number(*self.names, self.drawn) % limit

    def between(self, low, high):
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items):
        """One of `items`."""
        return items[self.below(len(items))]

    def shuffled(self, items):
        """A copy of `items` in another order (Fisher-Yates)."""
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items

    def sample(self, items, count):
        """`count` different items, in the order in which they stand in `items`."""
        chosen = sorted(self.shuffled(range(len(items)))[:count])
        return [items[index] for index in chosen]
