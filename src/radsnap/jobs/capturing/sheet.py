"""Tags to print and lay beside a film, and slides to show in any viewer, each with its picture's codes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import UsageError
from radsnap.extras import need
from radsnap.imaging import write_image
from radsnap.imaging.radiograph import ByteImage
from radsnap.jobs.capturing.session import (
    CaptureConfig,
    Session,
    create_session,
    is_session,
    keep_to,
    open_session,
)
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.markers import Identity, draw_tag, write_code

_A4_MM = (210, 297)
_DPI = 300
_EDGE_MM, _LABEL_MM, _ROOM_MM = 12.0, 6.0, 4.0
_LABEL = 60


class SheetConfig(BaseModel):
    """What `radsnap capture sheet` is told. kind: "tags" to print, or "slides"; tag_cm: a tag's length on paper.

    The session is begun when its folder holds none; `manifest` and `root` are for that, and must be those of one
    that is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: Path
    manifest: str | None = None
    root: str | None = None
    kind: Literal["tags", "slides"] = "tags"
    format: Literal["pdf", "png"] = "pdf"
    tag_cm: float = Field(default=8.0, ge=3, le=18)
    width_px: int = Field(default=1920, ge=640, le=7680)
    height_px: int = Field(default=1080, ge=480, le=7680)
    share: float = Field(default=0.95, ge=0.2, le=1)


def make_sheet(config: SheetConfig, report: Report = silent) -> list[Path]:
    """Write SESSION/tags.pdf, tags-N.png, slides.pdf or slides/N.png. Gives the files. Raises UsageError."""
    session = _opened(config)
    return _tags(session, config, report) if config.kind == "tags" else _slides(session, config, report)


def _opened(config: SheetConfig) -> Session:
    if is_session(config.session):
        said = {"manifest": config.manifest, "root": config.root}
        return keep_to(open_session(config.session), {name: one for name, one in said.items() if one})
    if config.manifest is None:
        raise UsageError(f"{config.session} holds no session; name the MANIFEST to begin one")
    domain: Literal["film", "screen"] = "film" if config.kind == "tags" else "screen"
    begun = CaptureConfig(manifest=config.manifest, root=config.root, domain=domain, share=config.share)
    return create_session(config.session, begun)


def _slides(session: Session, config: SheetConfig, report: Report) -> list[Path]:
    size = (config.width_px, config.height_px)
    files = []
    for number in range(session.count):
        round_ = session.journal.lay_out(number, size)
        target = session.folder / "slides" / f"{number + 1:05d}.png"
        files.append(write_image(target, session.page(number, round_, size)))
        report(Progress(number + 1, session.count, target.name))
    if config.format == "png":
        return files
    pdf = need("fpdf", "web").FPDF(unit="pt", format=size)
    pdf.set_margin(0)
    pdf.set_auto_page_break(False)
    for file in files:
        pdf.add_page()
        pdf.image(str(file), 0, 0, size[0], size[1])
    target = session.folder / "slides.pdf"
    pdf.output(str(target))
    return [target]


def _tags(session: Session, config: SheetConfig, report: Report) -> list[Path]:
    pages = list(_tag_pages(session, config, report))
    if config.format == "png":
        return [
            write_image(session.folder / f"tags-{index + 1}.png", page) for index, page in enumerate(pages)
        ]
    pdf = need("fpdf", "web").FPDF(unit="mm", format=_A4_MM)
    pdf.set_margin(0)
    pdf.set_auto_page_break(False)
    from PIL import Image

    for page in pages:
        pdf.add_page()
        pdf.image(Image.fromarray(page), 0, 0, *_A4_MM)
    target = session.folder / "tags.pdf"
    pdf.output(str(target))
    return [target]


def _tag_pages(session: Session, config: SheetConfig, report: Report) -> list[ByteImage]:
    """Draw sheets of A4 at 300 dpi: as many tags as fit, each with the picture's number and its image's id."""
    px = _DPI / 25.4
    length, height = round(config.tag_cm * 10 * px), round(config.tag_cm * 10 * px / 4)
    edge, label, room = (round(mm * px) for mm in (_EDGE_MM, _LABEL_MM, _ROOM_MM))
    width, tall = (round(mm * px) for mm in _A4_MM)
    across = max((width - 2 * edge + room) // (length + room), 1)
    down = (tall - 2 * edge + room) // (height + label + room)
    pages: list[ByteImage] = []
    for number in range(session.count):
        at = number % (across * down)
        if at == 0:
            pages.append(np.full((tall, width), 255, np.uint8))
        left = edge + (at % across) * (length + room)
        top = edge + (at // across) * (height + label + room)
        round_ = session.journal.lay_out(number, (0, 0))
        code = write_code(Identity(session.number, number, round_), session.key)
        tag = draw_tag(code, length)
        pages[-1][top : top + tag.shape[0], left : left + length] = tag
        _label(
            pages[-1],
            f"{number + 1}  {_words(session, number)}",
            left,
            top + height + label - room // 2,
            length,
        )
        report(Progress(number + 1, session.count, "tags"))
    return pages


def _words(session: Session, number: int) -> str:
    condition = " ".join(f"{name}={value}" for name, value in session.condition(number).items())
    text = f"{session.image_id(number)} {condition}".strip()
    plain = text.encode("ascii", "replace").decode()
    return plain if len(plain) <= _LABEL else "..." + plain[3 - _LABEL :]


def _label(page: ByteImage, text: str, x: int, y: int, length: int) -> None:
    size = 1.1
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
    cv2.putText(
        page,
        text,
        (x, y),
        cv2.FONT_HERSHEY_SIMPLEX,
        size * min(1.0, length / max(wide, 1)),
        (0,),
        2,
        cv2.LINE_AA,
    )
