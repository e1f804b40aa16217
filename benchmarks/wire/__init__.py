"""Triologue as a process with its real protocol, beside its peers; see README.md."""
