"""One thin file per surface: bytes in, pipeline, bytes out."""
