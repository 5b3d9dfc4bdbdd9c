"""Nouns -> text for people and data for JSON: in each module `text` makes the one, `data` the other.

Text ends without a newline. Data are dicts, lists, strings, numbers, booleans and None; their keys, once
published, stay. Durations are in seconds, addresses and networks are strings.
"""
