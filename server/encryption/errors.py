"""What goes wrong with keys. Every text is one line for the operator, without keys, passwords or content."""

from __future__ import annotations


class VaultError(Exception):
    """Something can't be sealed or unsealed, now or ever."""


class KeyFileError(VaultError):
    """The file of master keys can't be used."""


class KeyStoreError(VaultError):
    """The store of wrapped data keys can't be opened, read or written."""


class UnknownMasterKey(VaultError):
    """A data key is wrapped by a master key that the key file doesn't hold (any more)."""

    def __init__(self, message: str, master: str) -> None:
        super().__init__(message)
        self.master = master


class Unsealable(VaultError):
    """Not sealed by this key, not in this context, or altered since."""
