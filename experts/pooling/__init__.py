"""The parts of the pool: lives, places, memory, breakers."""
