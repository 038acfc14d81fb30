"""The files job: every instrument file reaches its destination once, the same to the last bit, and never half."""
