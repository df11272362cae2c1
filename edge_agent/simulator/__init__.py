"""The Live API twin: a real WebSocket server that stands in for Google's, scripted and strict.

    from edge_agent.simulator import Rule, Say, Script, Twin, When

    async with Twin(Script(rules=(Rule(steps=(Say("Good morning."),)),))) as twin:
        ...                      # point live.url at twin.url, use the key "test-key"
        assert twin.session.violations == []

`script` tells what it can be made to do, `scriptfile` how to write that as TOML, `record` what it remembers, `session`
which rules of the service it keeps, `schema` and `models` what it accepts. `SyncTwin` serves from a thread of its own.
It shares no code with the client it tests.
"""

from edge_agent.simulator.record import Limits, Mark, SessionRecord
from edge_agent.simulator.script import (
    Call,
    Complete,
    Drop,
    End,
    Entry,
    FunctionCall,
    GoAway,
    Hang,
    Hear,
    Oversized,
    Raw,
    Resumption,
    Rule,
    Say,
    Script,
    Stall,
    Step,
    Text,
    Truncated,
    Turn,
    Wait,
    When,
)
from edge_agent.simulator.server import Twin
from edge_agent.simulator.synchronous import SyncTwin

__all__ = [
    "Call",
    "Complete",
    "Drop",
    "End",
    "Entry",
    "FunctionCall",
    "GoAway",
    "Hang",
    "Hear",
    "Limits",
    "Mark",
    "Oversized",
    "Raw",
    "Resumption",
    "Rule",
    "Say",
    "Script",
    "SessionRecord",
    "Stall",
    "Step",
    "SyncTwin",
    "Text",
    "Truncated",
    "Turn",
    "Twin",
    "Wait",
    "When",
]
