def page(path: str) -> tuple[bytes, str] | None:
    return None
