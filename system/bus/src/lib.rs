//! MCP between services: agents, tools, calls, publishing, deadlines, balancing.
