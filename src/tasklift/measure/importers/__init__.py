"""Results that other tools saved, as evidence: one file each format, `detect` tells them apart by content."""
