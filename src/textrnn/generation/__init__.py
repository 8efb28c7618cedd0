"""From logits to text, without torch."""
