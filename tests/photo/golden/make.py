"""Make the two tiny goldens: `python tests/photo/golden/make.py` (needs Pillow).

They are enlarged, masked and reduced by Pillow, or blended in float64, not by the code under test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from test_published import plain_moire  # noqa: E402

from radsnap.photo.effect import to_plain  # noqa: E402
from radsnap.photo.light import GlareMatte  # noqa: E402
from radsnap.photo.moire import Moire  # noqa: E402

y, x = np.mgrid[0:96, 0:128]
picture = np.clip(128 + 70 * np.sin(x / 9.0) * np.cos(y / 13.0) + 50 * np.sin((x + 2 * y) / 40.0), 0, 255)
picture = picture.astype(np.uint8)
moire = Moire(1, 1.0, 0.5, (90.0, 89.3), 0.5, ((31.2, 70.4), (12.9, 3.7)))
glare = GlareMatte((40.2, 60.7), 50.0, 100.0, 170.0)
bell = np.exp(-((x - glare.mean_px[0]) ** 2 + (y - glare.mean_px[1]) ** 2) / (2 * glare.sigma_px**2))
alpha = np.floor(np.minimum(glare.alpha_cap, glare.alpha_peak * bell / bell.max())) / 255
pictures = {
    "input": picture,
    "moire_4": plain_moire(picture, moire),
    "glare_matte_1": np.rint(picture + alpha * (255 - picture)).astype(np.uint8),
}
for name, pixels in pictures.items():
    Image.fromarray(pixels).save(HERE / f"{name}.png")
pairs = [("moire", 4, moire), ("glare_matte", 1, glare)]
rows = [
    {"input": "input.png", "output": f"{e}_{level}.png", "effect": e, "level": level, "params": to_plain(p)}
    for e, level, p in pairs
]
(HERE / "golden.json").write_text(json.dumps(rows, indent=1) + "\n")
