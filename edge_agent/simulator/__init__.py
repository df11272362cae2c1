"""The Live API twin: a real WebSocket server that stands in for Google's, scripted and strict."""
