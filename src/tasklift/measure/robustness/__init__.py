"""What accuracy hides: consistency, flexibility, risk, and the nine dimensions."""
