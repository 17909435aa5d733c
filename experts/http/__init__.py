"""Asking an OpenAI-compatible server: connections, events, refusals."""
