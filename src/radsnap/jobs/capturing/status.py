"""Say where a session stands."""

from __future__ import annotations

from dataclasses import dataclass

from radsnap.jobs.capturing.session import Session


@dataclass(frozen=True)
class Status:
    """Pictures of the plan, with at least one good photo, and left out; photos by state; what each phone has.

    missing: numbers (from 0) without a good photo, and not left out; refused: reasons and how often.
    """

    pictures: int
    done: int
    skipped: int
    photos: dict[str, int]
    phones: dict[str, int]
    missing: tuple[int, ...]
    refused: dict[str, int]

    @property
    def complete(self) -> bool:
        return not self.missing


def status_of(session: Session) -> Status:
    """Count what the journal holds."""
    journal = session.journal
    done, skipped = journal.done(), journal.skipped()
    names = {phone.id: phone.name for phone in journal.phones()}
    taken = journal.rows("SELECT phone, COUNT(*) FROM photos WHERE state IN ('good', 'named') GROUP BY phone")
    by_phone: dict[int, int] = {row[0]: row[1] for row in taken}
    reasons: dict[str, int] = {}
    for photo in journal.photos("state = 'refused'"):
        for reason in photo.reasons:
            reasons[reason] = reasons.get(reason, 0) + 1
    return Status(
        session.count,
        len(done),
        len(skipped - done),
        journal.counts(),
        {names[id_]: by_phone.get(id_, 0) for id_ in names},
        tuple(n for n in range(session.count) if n not in done and n not in skipped),
        dict(sorted(reasons.items(), key=lambda one: -one[1])),
    )
