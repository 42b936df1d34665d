"""Capture sessions: real photos of x-rays on a screen or a light box, each proven to be of its own x-ray."""
