"""Frozen nouns, valid when born; nothing here does anything to the machine."""
