"""Look over a server's cases while it does not run."""

from __future__ import annotations

import shutil

from radsnap.web.lock import held
from radsnap.web.settings import Settings
from radsnap.web.storage.cases import Cases, Check
from radsnap.web.storage.database import open_database
from radsnap.web.storage.pictures import open_pictures


def check(settings: Settings) -> Check:
    """Remove what a killed server left over, and name the cases that are not whole.

    Raises UsageError while a server runs on the same folder, and for pictures of another database.
    """
    with held(settings.data):
        shutil.rmtree(settings.data / "incoming", ignore_errors=True)
        engine = open_database(settings.database_url)
        try:
            return Cases(engine, open_pictures(settings.images, settings.data / "pictures")).check()
        finally:
            engine.dispose()
