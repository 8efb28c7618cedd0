"""The model file, atomic replacement and trees of state."""
