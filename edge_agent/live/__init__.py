"""The Live API client: wire types, model profiles, the pure protocol, the connection, and the uplink gate.

What is said on the wire is in `messages`, `setup`, `events`, `decoding` and `protocol`, and what each model takes of it
in `models`: all pure. `uplink` is the gate that says which sound and stills may go up. `connection` is the WebSocket on
the line that `wire` makes, `audience` those who are told what goes over it, `session` one device's way to the service
over many of them. With which right it goes there say `credentials`, `broker`
and `vertex` (by way of `fetching`), by which way out `endpoint` and `proxy`. `causes` knows what a refusal or an end
means. `standard` talks by single requests where WebSockets are blocked.
"""
