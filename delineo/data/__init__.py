"""Data folders: find, check, part, read, augment."""
