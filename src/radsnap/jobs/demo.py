"""The demo: radsnap makes sample photos itself (phantoms, photographed), for a first look without any data."""

from __future__ import annotations

from pathlib import Path

from radsnap.imaging import to_photo, write_image
from radsnap.imaging.radiograph import Photo
from radsnap.phantom import draw
from radsnap.photo import apply_recipe, sample_recipe
from radsnap.seeds import stream

# file name → what is drawn, its key among the phantoms, and the recipe it is photographed by
SAMPLES: dict[str, tuple[str, int, str | None]] = {
    "chest-digital": ("chest", 3, None),
    "chest-on-a-screen": ("chest", 11, "screen-lite"),
    "chest-on-a-light-box": ("chest", 4, "film-lite"),
    "chest-side-view": ("lateral", 1, "screen-lite"),
    "hand-on-a-screen": ("hand", 2, "screen-lite"),
    "receipt": ("document", 5, None),
    "scene": ("scene", 6, None),
}


def write_samples(folder: Path, size_px: int = 1024, level: int = 2, seed: int = 0) -> list[Path]:
    """Draw the sample pictures into a folder and give their paths."""
    files = []
    for name, (what, key, recipe) in SAMPLES.items():
        drawn = draw(what, seed, key, size_px)
        picture = drawn if isinstance(drawn, Photo) else to_photo(drawn.radiograph)
        files.append(folder / f"{name}.jpg")
        pixels = picture.pixels
        if recipe is not None:
            steps = sample_recipe(
                recipe, level, (pixels.shape[0], pixels.shape[1]), stream(seed, "demo", name)
            )
            pixels, _ = apply_recipe(pixels, steps)
        write_image(files[-1], Photo(pixels))
    return files
