"""Who logs, and because of what: the fields that every line from within an actor has."""

from __future__ import annotations

from actors import current


def activity_fields() -> dict[str, str | int]:
    """`actor`, `cause` and `origin` of the calling task, and its origin's labels; nothing if it has none."""
    activity = current()
    if activity is None:
        return {}
    fields: dict[str, str | int] = {}
    if activity.address:
        fields["actor"] = activity.address
    if (origin := activity.origin) is not None:
        fields |= {"cause": origin.id, "origin": origin.name}
        for label, value in origin.labels.items():
            fields.setdefault(label, value)
    return fields
