"""What this computer can do, and what keeps it from doing so: findings with advice, and a report to send."""
