"""Bytes in folders at any fsspec URL: atomic and conditional writes, and requests that are tried again."""
