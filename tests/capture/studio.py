"""A studio for tests: phantom x-rays, sessions of them, a simulated camera in front of a page, a server to kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import Photo, encode_jpeg, project, write_image
from radsnap.jobs.capturing.session import _READ, CaptureConfig, Session, create_session
from radsnap.phantom import sample_chest
from radsnap.photo import photograph
from radsnap.photo.camera import distort
from radsnap.photo.effects import effect_named
from radsnap.photo.geometry import quad_matrix
from radsnap.photo.shutter import Photographed

SOAK = int(os.environ.get("RADSNAP_SOAK", "1"))
PAGE = (960, 540)
SHARE = 0.8  # the simulated photographer cuts a few percent off the screen's edges
_DRAWN: dict[int, NDArray[np.uint8]] = {}


def xray(index: int) -> NDArray[np.uint8]:
    """Draw a phantom chest, uint8, its longer side 256 px."""
    if index not in _DRAWN:
        _DRAWN[index] = np.rint(sample_chest(3, index, 256).radiograph.pixels * 255).astype(np.uint8)
    return _DRAWN[index]


def xrays(folder: Path, count: int) -> Path:
    """Write phantoms in CheXpert's layout."""
    for index in range(count):
        place = folder / f"patient{index // 2 + 1:05d}" / f"study{index % 2 + 1}"
        write_image(place / "view1_frontal.png", xray(index))
    return folder


def session_of(folder: Path, count: int = 3, **settings: object) -> Session:
    """Begin a session of so many phantoms."""
    given = {"manifest": str(xrays(folder / "xrays", count)), "share": SHARE, "settle_ms": 0, **settings}
    return create_session(folder / "session", CaptureConfig.model_validate(given))


def forget_xrays() -> None:
    """Read every x-ray from its file again, as a server that was started anew does."""
    _READ.clear()


def shot(page: NDArray[np.uint8], seed: int, name: str, level: int = 1) -> Photographed:
    """Take the photo of a page, uint8 (H, W), as a phone in front of the screen would."""
    rgb = np.repeat(page[..., None], 3, axis=2)
    return photograph(Photo(rgb), "screen", seed=seed, image_id=name, level=level)


def seen_at(made: Photographed, page_hw: tuple[int, int], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the truth: where points of the page lie in a simulated photo, bent by the lens."""
    screen = made.recipe.steps[0].params
    size = (screen.camera.height_px, screen.camera.width_px)
    places = distort(screen.camera, project(quad_matrix(page_hw, screen.corners_px), points))
    for step in made.recipe.steps[1:]:
        effect = effect_named(step.effect)
        places = project(effect.moved(step.params, size), places)
        size = effect.resized(step.params, size)
    return places


def jpeg(made: Photographed, quality: int = 92) -> bytes:
    return encode_jpeg(made.photo.pixels, quality)


def grey(made: Photographed) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(made.photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass
class Server:
    """`radsnap capture start` in a process of its own, to be killed and started again on the same port."""

    folder: Path
    arguments: tuple[str, ...]
    port: int = 0
    secure: bool = False
    process: subprocess.Popen[str] | None = None
    screen: str = ""
    phone: str = ""

    def start(self) -> Server:
        command = [
            sys.executable, "-m", "radsnap", "capture", "start", *self.arguments, "-o", str(self.folder),
            "--https" if self.secure else "--no-https", "--no-browser", "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        log = (self.folder.parent / "server.log").open("a")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        log.close()
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        for line in lines:
            if found := re.match(r"(screen|phone): +(\S+)", line):
                setattr(self, found[1], found[2])
            if line.startswith("Stop with"):
                break
        else:
            raise RuntimeError(
                f"the server did not start: {(self.folder.parent / 'server.log').read_text()[-2000:]}"
            )
        self.port = int(re.search(r":(\d+)/", self.screen)[1])  # type: ignore[index]
        return self

    def kill(self) -> None:
        """Kill it on the spot, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: int) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None
