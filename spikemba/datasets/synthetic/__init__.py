"""Corpora drawn from a seed: storyboards, and the pictures of them."""
