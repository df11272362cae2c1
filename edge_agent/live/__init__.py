"""The Live API client: wire types, model profiles, the pure protocol, the connection, and the uplink gate.

    messages, setup, decoding, events, protocol     what is said on the wire; pure, as are `models` and `endpoint`
    uplink                                          the gate: which sound and stills may go up, and when
    connection, session                             the WebSocket, and one device's way to the service over many of them
    credentials, broker, vertex, fetching           with which right
    proxy                                           by which way out
    causes                                          what a refusal or an end means
    standard                                        single requests, where WebSockets are blocked
"""
