"""Random numbers that are a pure function of what they are for.

Whatever is drawn depends on (seed, epoch, sample) alone, never on how many numbers were drawn
before, so worker counts, process counts and interruptions change nothing.
"""

from hashlib import blake2b

import torch


def derive_seed(*key: int | str) -> int:
    """A 63-bit seed for a key such as (seed, epoch, sample index)."""
    digest = blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*key: int | str) -> torch.Generator:
    """A generator on the CPU, seeded with the key."""
    return torch.Generator().manual_seed(derive_seed(*key))
