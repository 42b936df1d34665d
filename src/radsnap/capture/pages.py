"""The pages, as text: they hold no data, so nothing needs a template engine."""

from __future__ import annotations

from html import escape

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="robots" content="noindex">
<title>radsnap capture</title>
"""

_PHONE = f"""{_HEAD}<link rel="stylesheet" href="/static/capture.css">
<script type="module" src="/static/phone.js"></script>
<body class="phone">
<header><strong id="name"></strong><span id="count"></span><span id="left"></span></header>
<main>
  <video id="preview" autoplay muted playsinline></video>
  <p id="verdict" role="status" aria-live="polite"></p>
</main>
<footer>
  <p id="state" role="status">Starting …</p>
  <p id="outbox" hidden></p>
  <div class="buttons">
    <button id="start" type="button">Start the camera</button>
    <button id="shoot" type="button" hidden>Take the photo</button>
    <label id="pick" class="button" hidden>Take the photo
      <input id="file" type="file" accept="image/*" capture="environment"></label>
    <button id="torch" type="button" hidden aria-pressed="false">Torch</button>
    <button id="lock" type="button" hidden aria-pressed="false">Lock focus and light</button>
    <label id="automatic"><input id="auto" type="checkbox" checked> by itself</label>
  </div>
</footer>
</body>
</html>
"""

_SCREEN = f"""{_HEAD}<link rel="stylesheet" href="/static/capture.css">
<script type="module" src="/static/screen.js"></script>
<body class="screen">
<img id="picture" alt="" hidden>
<section id="panel">
  <h1>radsnap capture</h1>
  <p id="state" role="status">Starting …</p>
  <p id="condition" hidden></p>
  <p id="trouble" role="alert" hidden></p>
  <div id="pairing" hidden>
    <div id="qr"></div>
    <p>Scan this with a phone, or open <b id="where"></b> on it and type <b id="code"></b>.
      The browser warns of a certificate that this computer made itself: continue.</p>
  </div>
  <ul id="phones"></ul>
  <p id="progress"></p>
  <p class="buttons">
    <button type="button" data-command="go" id="go" hidden>It is so: go on (Enter)</button>
    <button type="button" data-command="resume" id="resume" hidden>Go on (Space)</button>
    <button type="button" id="full">Full screen (F)</button>
    <button type="button" id="add">Add a phone (P)</button>
  </p>
  <p class="keys">Space pause · ← once more the one before · R this one once more · S skip · Enter go on · F full screen
    · P add a phone</p>
</section>
<p id="line" hidden></p>
</body>
</html>
"""

PAGES = {"phone": _PHONE, "screen": _SCREEN}

_WORDS = {
    "phone": ("Pair this phone", "/pair", "Name of this phone", "pixel 8", "Pair"),
    "screen": ("Use this browser as the screen", "/screen/pair", "", "", "Begin"),
}


def pairing_page(role: str, code: str, fault: str) -> str:
    """Give the form that takes a one-time code: the only page that is served to a stranger."""
    title, path, ask, example, button = _WORDS[role]
    name = (
        f'<label>{ask} <input name="name" maxlength="40" placeholder="{example}" autocapitalize="none"></label>\n'
        if ask
        else ""
    )
    said = f'<p role="alert">{escape(fault)}</p>\n' if fault else ""
    return f"""{_HEAD}<link rel="stylesheet" href="/pair.css">
<body>
<form method="post" action="{path}">
<h1>{title}</h1>
{said}<label>Code <input name="code" value="{escape(code, quote=True)}" required maxlength="40" autocomplete="off"
  autocapitalize="characters" spellcheck="false"></label>
{name}<button>{button}</button>
</form>
</body>
</html>
"""
