"""What can go wrong, as one tree.

    RadsnapError
    ├── UsageError            the caller asked for something that cannot be (exit code 2)
    │   └── MissingExtra      an optional part is not installed
    ├── ImageError            one image cannot be used; the rest of a batch goes on
    │   ├── UnreadableImage   empty, truncated, not an image
    │   ├── ImageTooLarge     over the bounds on bytes, pixels or frames; refused before decoding
    │   └── UnsupportedImage  a good file of something radsnap does not read (CT, a syntax without a decoder)
    ├── TableError            a row or column of a table is wrong
    │   ├── ManifestError
    │   └── PredictionsError
    ├── WeightsError          weights, card or checkpoint do not fit
    └── TrainingError         a training cannot go on (loss not finite, disk full)

Every message says what was wrong, what was got, and what to do.
"""

from __future__ import annotations


class RadsnapError(Exception):
    """The root of the tree: catch this to catch all of radsnap's own errors."""


class UsageError(RadsnapError):
    """A wrong argument, option or configuration."""


class MissingExtra(UsageError):
    """A package of an optional part of radsnap is not installed."""


class ImageError(RadsnapError):
    """One image cannot be used."""


class UnreadableImage(ImageError):
    """The file is empty, truncated or not an image."""


class ImageTooLarge(ImageError):
    """The file exceeds the bounds on bytes, pixels or frames."""


class UnsupportedImage(ImageError):
    """The file is well formed, but holds something radsnap does not read."""


class TableError(RadsnapError):
    """A table does not hold what its contract says."""


class ManifestError(TableError):
    """A manifest is wrong; the message names row and column."""


class PredictionsError(TableError):
    """A predictions table is wrong; the message names row and column."""


class WeightsError(RadsnapError):
    """Weights, their card or a checkpoint do not fit together."""


class TrainingError(RadsnapError):
    """A training cannot go on."""
