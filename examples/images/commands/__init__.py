"""Commands that have a file of their own; the others are in ``__main__``."""
