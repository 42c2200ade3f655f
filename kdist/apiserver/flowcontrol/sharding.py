"""Shuffle sharding: each flow is dealt a small hand of the level's queues, two flows rarely the same one.

A flow that floods fills the queues of its own hand; the chance that another flow has no queue outside of it is
small. The hash and the dealing are upstream's, so that the same flow meets the same queues there and here.
"""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, distinguisher: str) -> int:
    """64 bits of a flow's identity."""
    digest = hashlib.sha256(schema.encode() + b"\0" + distinguisher.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def deal(value: int, deck: int, hand: int) -> tuple[int, ...]:
    """``hand`` different cards of a deck numbered from 0, all hands equally likely. ValueError for no such hand."""
    if not 0 < hand <= deck:
        raise ValueError(f"a hand of {hand} cannot be dealt from {deck} queues")
    cards: list[int] = []
    remainders: list[int] = []
    for dealt in range(hand):
        value, card = divmod(value, deck - dealt)
        remainders.append(card)
    for dealt, card in enumerate(remainders):
        # the remainder counts the cards that were not dealt yet: shift it past those that were
        for earlier in reversed(remainders[:dealt]):
            if card >= earlier:
                card += 1
        cards.append(card)
    return tuple(cards)
