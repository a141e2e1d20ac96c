"""Lookups that are answered from memory, while the server vouches for that."""
