"""What the tests of the map let workers do; a file of its own, so that workers can import it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ArithmeticError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os._exit(7)
    return number


def opencv_threads(number: int) -> int:
    import cv2

    return int(cv2.getNumThreads())


class Sleeper:
    """Leaves its process id in a folder and sleeps."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, number: int) -> int:
        Path(self.folder, str(os.getpid())).touch()
        time.sleep(120)
        return number
