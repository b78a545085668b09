"""Targets of one's own: a class named in the settings, what it is given, and how it is checked before anything is written."""
