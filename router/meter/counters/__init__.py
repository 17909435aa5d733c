"""Counters of energy: read in the background, their joules divided among those who used them."""
