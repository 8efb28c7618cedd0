"""From what people have to batches of ids."""
