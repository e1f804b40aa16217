"""Encryption at rest: what people and models say is sealed, each message by a key of its own.

`MasterVault` is what a store asks for keys. The map: `keys` has the cryptography, `key_file` and `ring` the
master keys, `store` and its two databases the wrapped data keys, `rotation` what is done to both at leisure.
What is sealed and what is not stands in `docs/encryption.md`.
"""

from .backup import back_up, restore
from .errors import KeyFileError, KeyStoreError, UnknownMasterKey, Unsealable, VaultError
from .keys import DataKey, MasterKey
from .opening import open_key_store
from .ring import KeyRing, new_key
from .rotation import Usage, retire, rewrap, usage
from .store import KeyStore
from .vault import MasterVault

__all__ = [
    "DataKey",
    "KeyFileError",
    "KeyRing",
    "KeyStore",
    "KeyStoreError",
    "MasterKey",
    "MasterVault",
    "UnknownMasterKey",
    "Unsealable",
    "Usage",
    "VaultError",
    "back_up",
    "new_key",
    "open_key_store",
    "restore",
    "retire",
    "rewrap",
    "usage",
]
