"""From a project to an archive: configuration, wheel, assembly, archive."""
