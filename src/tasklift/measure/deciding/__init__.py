"""From evidence and economics to a decision."""
