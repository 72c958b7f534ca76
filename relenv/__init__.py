"""relenv: relocatable Python, compiled from source, and applications shipped on top of it."""

__version__ = "1.0.0.dev0"
