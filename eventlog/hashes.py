"""The hash of ids and chains: that of hashlib, without the OpenSSL that is loaded with it."""

try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["blake2b"]
