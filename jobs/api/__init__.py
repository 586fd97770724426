"""The functions behind `import hardset`; each does its work, says nothing, and returns a typed result."""
