"""The report is one file, needs nothing else, runs nothing foreign, and shows what was said."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from radsnap import __version__
from radsnap.errors import UsageError
from radsnap.imaging import Photo, Radiograph
from radsnap.reading.diagnosis import Diagnosis
from radsnap.reading.pipeline import Pipeline, load_pipeline
from radsnap.reading.report import NOTICE, ReportWriter, preview, render_case

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def chain(tiny_chain: Path) -> Pipeline:
    cards = [tiny_chain / f"{name}.card.json" for name in ("gate", "kind", "findings")]
    return load_pipeline(cards[0], cards[1], {"chest_frontal": cards[2]})


@pytest.fixture(scope="module")
def chest(chain: Pipeline) -> tuple[Diagnosis, np.ndarray]:
    photo = Photo(np.full((300, 240, 3), 128, dtype=np.uint8))
    return chain.diagnose(photo, f"/films/{EVIL}.jpg", heat_maps=True), preview(photo)


class Page(HTMLParser):
    """What a browser would act on: tags with their attributes, and the text of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def written(tmp_path: Path, *cases: tuple[Diagnosis, np.ndarray | None]) -> str:
    path = tmp_path / "report.html"
    with ReportWriter(path) as writer:
        for diagnosis, picture in cases:
            writer.add(diagnosis, render_case(diagnosis, picture))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched_from_anywhere(tmp_path: Path, chest: tuple[Diagnosis, np.ndarray]) -> None:
    page = Page(written(tmp_path, chest))
    for tag, attributes in page.tags:
        for name in ("src", "href", "data-heat", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
    assert not page.all("link")
    assert "url(" not in "".join(page.texts["style"])
    assert "@import" not in "".join(page.texts["style"])


def test_only_the_reports_own_script_may_run(tmp_path: Path, chest: tuple[Diagnosis, np.ndarray]) -> None:
    page = Page(written(tmp_path, chest))
    assert len(page.all("script")) == 1
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        digest = base64.b64encode(hashlib.sha256(page.texts[tag][0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_from_outside_are_shown_not_obeyed(tmp_path: Path, chest: tuple[Diagnosis, np.ndarray]) -> None:
    diagnosis, picture = chest
    assert diagnosis.findings is not None
    assert diagnosis.heat_maps is not None
    hostile = replace(
        diagnosis,
        findings={EVIL: replace(diagnosis.findings["Pneumonia"], reason=EVIL)},
        heat_maps=replace(diagnosis.heat_maps, maps={EVIL: np.ones((4, 4), np.float32)}),
        reason=EVIL,
        domain=EVIL,
        cards={EVIL: diagnosis.cards["gate"].model_copy(update={"caveats": (EVIL,)})},
    )
    page = Page(written(tmp_path, (hostile, picture), (Diagnosis.failed(EVIL, EVIL), None)))
    assert not [name for tag in page.all("img") for name in tag if name.startswith("on")]
    assert len(page.all("script")) == 1
    assert [tag["value"] for tag in page.all("input") if tag.get("type") == "radio"] == [EVIL]


def test_every_finding_has_its_heat_and_the_strongest_is_shown(
    tmp_path: Path, chest: tuple[Diagnosis, np.ndarray]
) -> None:
    page = Page(written(tmp_path, chest))
    radios = [tag for tag in page.all("input") if tag.get("type") == "radio"]
    assert [radio["value"] for radio in radios] == ["Pneumonia", "Edema", "Hernia"]
    assert ["checked" in radio for radio in radios] == [True, False, False]
    (heat,) = [tag for tag in page.all("img") if tag.get("class") == "heat"]
    assert heat["src"] == radios[0]["data-heat"]
    png = base64.b64decode(str(heat["src"]).split(",")[1])
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (96, 77, 4)


def test_the_report_says_what_it_is_and_what_the_models_cannot(
    tmp_path: Path, chest: tuple[Diagnosis, np.ndarray]
) -> None:
    html = written(tmp_path, chest)
    assert html.count(NOTICE) == 2
    assert f"radsnap {__version__}" in html
    assert "gate &lt;only&gt; reads brightness." in html
    assert "findings &lt;only&gt; reads brightness." in html
    assert re.search(r"reading of \d{4}-\d\d-\d\d \d\d:\d\d", html)


def test_each_picture_has_an_article_in_order_and_is_counted(
    tmp_path: Path, chain: Pipeline, chest: tuple[Diagnosis, np.ndarray]
) -> None:
    dark = Photo(np.full((64, 64, 3), 10, dtype=np.uint8))
    html = written(
        tmp_path, chest, (chain.diagnose(dark, "cat.jpg", True), preview(dark)), (Diagnosis.failed("x.jpg", "x.jpg: empty"), None)
    )  # fmt: skip
    assert html.index('id="case-1"') < html.index('id="case-2"') < html.index('id="case-3"')
    for words in ("<b>3</b>pictures", "<b>1</b>unreadable", "<b>1</b>not an x-ray", "<b>1</b>read"):
        assert words in html
    assert "x.jpg: empty" in html
    assert "not an x-ray: the gate gives it" in html


def test_without_heat_maps_the_reason_is_told(chest: tuple[Diagnosis, np.ndarray]) -> None:
    diagnosis, picture = chest
    assert diagnosis.heat_maps is not None
    html = render_case(
        replace(diagnosis, heat_maps=replace(diagnosis.heat_maps, maps={}, reason="a < b")), picture
    )
    assert "No heat map: a &lt; b." in html
    assert 'class="heat"' not in html


def test_an_interrupted_report_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def interrupted() -> None:
        with ReportWriter(path) as writer:
            writer.add(Diagnosis.failed("x.jpg", "empty"), "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_report_without_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder .*absent for the report; make it first"):
        ReportWriter(tmp_path / "absent" / "report.html")
    with pytest.raises(UsageError, match="is a folder; give the report a file name"):
        ReportWriter(tmp_path)


def test_preview_shrinks_the_longer_side_and_keeps_grey_grey() -> None:
    rows = np.repeat(np.linspace(0, 1, 2000, dtype=np.float32)[:, None], 500, axis=1)
    shown = preview(Radiograph(rows), longest_px=400)
    assert (shown.shape, shown.dtype) == ((400, 100, 3), np.uint8)
    assert (shown[..., 0] == shown[..., 2]).all()
    assert abs(int(shown[200, 50, 0]) - 128) <= 1
    small = np.zeros((20, 30, 3), np.uint8)
    assert preview(Photo(small)).shape == small.shape
