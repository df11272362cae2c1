"""Decisions, pure: states and moves, turns, and what the light and the sound cues say about them."""
