"""The Live API client: wire types, model profiles, the pure protocol, the connection, and the uplink gate.

What we say is in `setup` and `protocol`, what the service says in `decoding`, `reading` and `events`, the wire types of
both in `messages`, and what each model takes of it in `models`: all pure. `uplink` is the gate that says which sound
and stills may go up. `connection` is the WebSocket on the line that `wire` makes, `audience` who is told what goes over
it, `session` one device's way to the service over many of them. With which right it goes there say `credentials`,
`broker` and `vertex` (by way of `fetching`), by which way out `endpoint` and `proxy`. `causes` knows what a refusal or
an end means. `standard` talks by single requests where WebSockets are blocked.
"""
