"""Tools of MCP servers.

    from edge_agent.tools.mcp import McpTools

`servers` says what is promised of them all together, `server` keeps the session of one, `child` and `http` are the two
ways to reach it, `words` reads its answers.
"""

from edge_agent.tools.mcp.servers import McpTools

__all__ = ["McpTools"]
