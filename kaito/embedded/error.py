"""What goes wrong on this machine and can be put right by the person in front of it."""


class EmbeddedError(Exception):
    """Something is not as the platform needs it; the message says what it is and what to do."""
