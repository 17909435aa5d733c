"""Vectors of texts, from the encoder that routes requests or from an expert that makes them."""
