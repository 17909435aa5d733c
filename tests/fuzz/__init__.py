"""Requests made from our own OpenAPI document, most of them wrong, against a real server."""
