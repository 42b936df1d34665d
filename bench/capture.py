#!/usr/bin/env python3
"""Time a capture session's server: photos of 12 megapixels, uploaded over loopback, proven, written down.

usage: python bench/capture.py [--photos 60] [--memory 2000] [--read 20]

1. Pace: a screen and a phone without pages or cameras step through a session over HTTP; each photo is a page of
   2560 × 1440 as a 12-megapixel camera might see it (tilted, soft, noisy). Photos a second from the first to the
   last, everything included: drawing the page, its PNG, settling (0 ms), upload, fsync, proof. Bar: 2 a second.
2. Memory: the server's resident memory after the first hundred of 2,000 photos and after the last; a quarter of an
   hour. `--memory 0` leaves it out.
3. Reading, beside the named peers: OpenCV's QRCodeDetectorAruco and zxing-cpp on the photo as it is, for codes of
   the same size; how many of simulated screen photos (recipe `screen`, levels 1 to 3) give their code, and how fast.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

BAR_PER_S, BAR_GROWTH_MB = 2.0, 40.0
SCREEN, CAMERA = (2560, 1440), (4032, 3024)
SESSION, KEY = 1234567, b"sixteen bytes or more of a key"


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--photos", type=int, default=60, help="photos of the run for the pace")
    options.add_argument(
        "--memory",
        type=int,
        default=2000,
        help="photos of a further run for the memory, about 15 minutes; 0 for none",
    )
    options.add_argument("--read", type=int, default=20, help="simulated photos a level")
    given = options.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    good = reading(given.read)
    good &= pace(given.photos, "pace")
    if given.memory:
        good &= pace(given.memory, "memory")
    return 0 if good else 1


def pace(count: int, what: str) -> bool:
    """Run a session over HTTP as fast as it goes."""
    from radsnap.imaging import write_image
    from radsnap.phantom import sample_chest

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for index in range(count):
            target = place / "x" / f"{index:05d}.jpg"
            if index < 8:
                write_image(target, sample_chest(1, index, 1024).radiograph)
            else:
                os.link(place / "x" / f"{index % 8:05d}.jpg", target)
        command = [
            sys.executable,
            "-m",
            "radsnap",
            "capture",
            "start",
            str(place / "x"),
            "-o",
            str(place / "s"),
        ]
        command += ["--no-https", "--no-browser", "--host", "127.0.0.1", "--port", "0", "--settle-ms", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            return stepped(server, count, what)
        finally:
            server.terminate()
            server.wait(20)


def stepped(server: subprocess.Popen[str], count: int, what: str) -> bool:
    import httpx

    assert server.stdout is not None
    text = ""
    while "Stop with" not in text:
        text += server.stdout.readline()
    found = dict(re.findall(r"(screen|phone): +(\S+)", text))
    home = found["screen"].split("/screen")[0]
    screen, phone = (httpx.Client(base_url=home, timeout=60) for _ in range(2))
    for client, path, url in ((screen, "/screen/pair", found["screen"]), (phone, "/pair", found["phone"])):
        client.post(path, data={"code": url.split("=")[1]})
    screen.post("/screen/size", json={"width": SCREEN[0], "height": SCREEN[1]})
    camera, memory, started, cpu, busy = Camera(), {}, 0.0, 0.0, 0.0
    for done in range(count):
        if done == min(5, count // 2):
            started, cpu, busy = time.perf_counter(), camera.spent, cpu_s(server.pid)
        told: dict[str, object] = {"ticket": None}
        while told["ticket"] is None:  # a screen that is silent for long must show its picture again
            showing = screen.get("/screen/step").json()["showing"]
            picture = screen.get(f"/screen/picture/{showing}.png").content
            screen.post("/screen/shown", json={"showing": showing})
            told = phone.get("/phone/step").json()
            if told["ticket"] is None:
                told = phone.get("/phone/step", params={"after": told["version"], "wait": 5}).json()
        answer = phone.post(
            "/phone/photos", params={"ticket": told["ticket"]}, content=camera(picture)
        ).json()
        if answer.get("state") != "good":
            print(f"photo {done} was not proven: {answer}")
            return False
        if done in (min(100, count // 2), count - 1):
            memory[done] = resident_mb(server.pid)
    spent = time.perf_counter() - started - (camera.spent - cpu)
    rate = (count - min(5, count // 2)) / spent
    each = (cpu_s(server.pid) - busy) / (count - min(5, count // 2))
    print(
        f"{what}: the server's processor time is {each:.3f} s a photo, so {2 / each:.1f} photos/s would fill 2 idle cores"
    )
    (early, first), (late, last) = memory.items()
    print(
        f"{what}: {rate:.2f} photos/s of {CAMERA[0] * CAMERA[1] / 1e6:.1f} MP over {count} (bar {BAR_PER_S}), the camera's own time apart"
    )
    print(
        f"{what}: server {first:.0f} MB after {early + 1}, {last:.0f} MB after {late + 1}: {last - first:+.0f} MB (bar +{BAR_GROWTH_MB:.0f})"
    )
    return rate >= BAR_PER_S and last - first <= BAR_GROWTH_MB


class Camera:
    """An instant camera of 12 megapixels; its own time does not count."""

    def __init__(self) -> None:
        width, height = SCREEN
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        away = np.array([[160, 420], [3900, 380], [3840, 2600], [120, 2560]], np.float32)
        self.matrix = cv2.getPerspectiveTransform(corners, away)
        self.noise = np.random.default_rng(1).normal(0, 3, CAMERA[::-1]).astype(np.int8)
        self.count, self.spent = 0, 0.0

    def __call__(self, png: bytes) -> bytes:
        started = time.perf_counter()
        page = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        seen = cv2.GaussianBlur(cv2.warpPerspective(page, self.matrix, CAMERA, borderValue=35), (0, 0), 1.6)
        self.count += 1
        noisy = cv2.add(seen, np.roll(self.noise, self.count * 7, axis=1), dtype=cv2.CV_8U)
        colour = cv2.cvtColor(noisy, cv2.COLOR_GRAY2BGR)
        data = bytes(cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
        self.spent += time.perf_counter() - started
        return data


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def reading(count: int) -> bool:
    """Compare with readers that search the photo, for QR codes of the same size and place."""
    import segno
    import zxingcpp

    from radsnap.imaging import Photo
    from radsnap.markers import Identity, draw_page, examine, place, write_code
    from radsnap.markers.examine import Shown
    from radsnap.phantom import sample_chest
    from radsnap.photo import photograph

    xray = np.rint(sample_chest(1, 0, 512).radiograph.pixels * 255).astype(np.uint8)
    frame = place((1920, 1080), (512, 512), 0.8)
    code = write_code(Identity(SESSION, 1), KEY)
    ours = draw_page(xray, frame, code)
    theirs = draw_page(xray, frame, None)
    qr = 1 - np.array(segno.make(code, error="q", micro=False).matrix, np.uint8)
    for band in frame.bands:
        for box in band.cells:
            (x0, y0), (x1, y1) = np.rint(band.corners(box)[[0, 2]] + 0.5).astype(int)
            padded = cv2.copyMakeBorder(qr, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=1) * 215
            theirs[y0:y1, x0:x1] = cv2.resize(padded, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    detector = cv2.QRCodeDetectorAruco()
    good = True
    for level in (1, 2, 3):
        read, spent, places = {"radsnap": 0, "zxing-cpp, QR": 0, "OpenCV, QR": 0}, {}, []
        for trial in range(count):
            for page in (ours, theirs):
                rgb = np.repeat(page[..., None], 3, axis=2)
                made = photograph(Photo(rgb), "screen", seed=9, image_id=f"{level} {trial}", level=level)
                photo = np.ascontiguousarray(cv2.cvtColor(made.photo.pixels, cv2.COLOR_RGB2GRAY))
                for name in ["radsnap"] if page is ours else ["zxing-cpp, QR", "OpenCV, QR"]:
                    started = time.perf_counter()
                    if name == "radsnap":
                        found = examine(photo, SESSION, KEY, lambda _: Shown(frame, (512, 512), xray))
                        read[name] += found.identity is not None
                        places.append(found.pose.miss_px if found.pose else np.nan)
                    elif name == "zxing-cpp, QR":
                        read[name] += any(b.text == code for b in zxingcpp.read_barcodes(photo))
                    else:
                        read[name] += code in detector.detectAndDecodeMulti(photo)[1]
                    spent[name] = spent.get(name, 0.0) + time.perf_counter() - started
        base = spent["zxing-cpp, QR"]
        told = ", ".join(
            f"{name} {read[name]}/{count} in {1000 * spent[name] / count:.0f} ms ({spent[name] / base:.2f} × zxing)"
            for name in read
        )
        print(f"level {level}: {told}; markers agree within {np.nanmedian(places):.2f} px")
        good &= read["radsnap"] >= (0.995 if level < 3 else 0.95) * count
    return good


if __name__ == "__main__":
    sys.exit(main())
