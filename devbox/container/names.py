"""Names for containers whose user gave none: two words that are easy to say and to type."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.store.database import Store

_FIRST = ["able", "amber", "bold", "brave", "brisk", "calm", "clear", "clever", "cosy", "crisp", "curious", "eager", "early", "easy", "fair", "fancy", "fast", "fine", "firm", "fond", "fresh", "gentle", "glad", "golden", "good", "grand", "green", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "plain", "polite", "prompt", "proud", "quick", "quiet", "rapid", "ready", "rosy", "shy", "silent", "silver", "simple", "smart", "snug", "sober", "solid", "steady", "still", "sturdy", "sunny", "swift", "tender", "tidy", "tough", "trusty", "vivid", "warm", "wise", "witty"]
_SECOND = ["alder", "apple", "ash", "aspen", "badger", "beech", "birch", "bison", "cedar", "cherry", "clover", "cobra", "condor", "crane", "daisy", "deer", "dove", "eagle", "elm", "falcon", "fern", "finch", "fir", "fox", "gecko", "hare", "hawk", "hazel", "heron", "holly", "iris", "ivy", "jackal", "jay", "juniper", "kite", "koala", "lark", "laurel", "lemon", "lily", "linden", "lion", "lotus", "lynx", "maple", "marten", "mole", "moose", "moth", "myrtle", "newt", "oak", "olive", "orchid", "osprey", "otter", "owl", "panda", "peach", "pear", "pine", "plum", "poplar", "poppy", "quail", "quince", "raven", "robin", "rose", "rowan", "sage", "salmon", "seal", "sparrow", "stork", "swan", "tapir", "thrush", "tiger", "trout", "tulip", "turtle", "violet", "walnut", "whale", "willow", "wolf", "wren", "yew", "zebra"]


def unused(store: Store) -> str:
    """A name that no container has; the caller's insert still decides who gets it."""
    first, second = os.urandom(2)
    name = f"{_FIRST[first % len(_FIRST)]}_{_SECOND[second % len(_SECOND)]}"
    while store.db.execute("SELECT 1 FROM containers WHERE name = ?", (name,)).fetchone():
        name = f"{name.rsplit('-', 1)[0]}-{os.urandom(3).hex()}"
    return name
