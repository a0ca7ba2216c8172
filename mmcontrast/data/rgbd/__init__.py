"""Posed RGB-D scenes: layouts, reader, geometry check and registration."""
