"""What policies promise: thresholds that are found for them, and certificates that say why they hold."""
