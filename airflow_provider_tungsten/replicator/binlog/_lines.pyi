class Workspace:
    """Memory that encoders share.

    :param step: bytes of a long value that are worked through at a time, at least 2; another makes no other text.
    """

    def __init__(self, step: int = ...) -> None: ...
