"""The workflow engine: events are appended to workflows, which workers claim, carry out and complete under a fence."""
