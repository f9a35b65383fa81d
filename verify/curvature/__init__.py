"""Curvature of the loss: Hessian, trace, gradient-noise covariance."""
