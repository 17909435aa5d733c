"""Anthropic's Messages, over the same pipeline."""
