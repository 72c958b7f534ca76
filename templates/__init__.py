"""Texts that are laid into what relenv ships; installed as `relenv.templates`, read by `relenv.texts`."""
