"""One file per command: what it takes, what it calls, what it prints.

Whatever is slow to import is imported inside the command, so that --help answers at once.
"""
