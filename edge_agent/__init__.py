"""edge-agent: a Raspberry Pi daemon that lets people talk with Google's Gemini Live API."""

__version__ = "0.1.0"
