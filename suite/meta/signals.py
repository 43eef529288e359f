"""Signals, for tests that send them."""

import signal


def hear_interrupts() -> None:
    """For `preexec_fn`, in a new process: a shell's background job ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
