"""What mail is made of: read, threaded, trimmed, made safe, written."""
