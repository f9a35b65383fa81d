"""The set Γ of minimisers: points on it, the slow flow along it, its flattest point."""
