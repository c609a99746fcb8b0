"""One file for each kind of channel, behind the protocol of `base`."""
