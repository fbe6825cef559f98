"""Who answers now: the roster, its calendar and handovers, escalation, phone calls."""
