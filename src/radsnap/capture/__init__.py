"""The door for collecting photos: a screen page on a monitor, a phone page on each phone, stepped together."""
