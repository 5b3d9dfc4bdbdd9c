"""Labs that stand: how they come up, are held, gone into, looked at, changed, and end."""
