"""The way without WebSockets: the Live API's own surface in front of single requests to the standard API.

`connection` is what takes the place of a `LiveConnection`. It gathers what a person asks (`question`), holds the
conversation as bodies of requests and readings of answers (`request`), sends them (`http`), and tells the answers as a
Live session would (`voice`). `question` and `request` are pure.
"""
