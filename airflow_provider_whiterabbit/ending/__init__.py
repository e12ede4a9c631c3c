"""How an end at White Rabbit becomes a task's end."""
