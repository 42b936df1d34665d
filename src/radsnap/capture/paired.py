"""Who may come in: phones and screens, paired once, known again after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from dataclasses import asdict

from radsnap.jobs.capturing.journal import Journal, Phone
from radsnap.serving.pairing import Device


class Phones(MutableMapping[str, Device]):
    """Paired phones, in the journal; a phone that is forgotten keeps its photos, but its token opens nothing."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def __getitem__(self, token_hash: str) -> Device:
        found = self.journal.rows("SELECT name, at FROM phones WHERE token = ?", (token_hash,))
        if not found:
            raise KeyError(token_hash)
        return Device(token_hash, found[0][0], found[0][1])

    def __setitem__(self, token_hash: str, device: Device) -> None:
        self.journal.add_phone(device.name or "phone", "browser", token_hash, device.paired_at)

    def __delitem__(self, token_hash: str) -> None:
        with self.journal.change() as db:
            if not db.execute("UPDATE phones SET token = NULL WHERE token = ?", (token_hash,)).rowcount:
                raise KeyError(token_hash)

    def __iter__(self) -> Iterator[str]:
        return iter([row[0] for row in self.journal.rows("SELECT token FROM phones WHERE token NOT NULL")])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def phone(self, token_hash: str) -> Phone:
        """Give the journal's phone of a token."""
        id_ = self.journal.rows("SELECT id FROM phones WHERE token = ?", (token_hash,))[0][0]
        return self.journal.phone(id_)


class Screens(MutableMapping[str, Device]):
    """Paired screens, in the journal's facts."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def _all(self) -> dict[str, Device]:
        table = json.loads(self.journal.fact("screens", "{}"))
        return {name: Device(**fields) for name, fields in table.items()}

    def _keep(self, devices: dict[str, Device]) -> None:
        self.journal.keep("screens", json.dumps({name: asdict(one) for name, one in devices.items()}))

    def __getitem__(self, token_hash: str) -> Device:
        return self._all()[token_hash]

    def __setitem__(self, token_hash: str, device: Device) -> None:
        with self.journal.change():
            self._keep({**self._all(), token_hash: device})

    def __delitem__(self, token_hash: str) -> None:
        with self.journal.change():
            devices = self._all()
            del devices[token_hash]
            self._keep(devices)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
