"""How each local engine is started: one small file an engine."""
