"""Waiting for something to become true, with a deadline: the one place of the tests that lets time pass."""

import time


def wait_until(look, seconds, what, every=0.02):
    """Calls `look` until it gives something true, and gives that; fails loudly after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            shown = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {shown}")
        time.sleep(every)


def let_pass(seconds):
    """For load and chaos, where the passing of time is the point; never to wait for an event."""
    time.sleep(seconds)
