"""VideoMamba in both published forms, and what adapts it with few parameters."""
