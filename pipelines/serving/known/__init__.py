"""What is known to be true: annotations, and what people corrected."""
