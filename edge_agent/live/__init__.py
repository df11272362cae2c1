"""The Live API client: wire types, model profiles, the pure protocol, the WebSocket, and the uplink gate."""
