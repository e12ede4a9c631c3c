"""Programs that prove the README: they provoke faults (`faults`), crashes (`kills`) and outages (`bad_day`)."""
