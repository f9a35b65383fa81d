"""What is measured: every claim of `theory` on trial, and the engine that puts it there.

claims        what is measured, chapter by chapter: `pytest verify/`
trial         designs, decisions, evidence, report
statistics    bounds, intervals and their power
models        finite models with exact loss, and the tr H of their minimisers
minimisers    the set Γ: points, retraction, flow, the flattest of them
ensembles     SGD in many replicas at once
networks      stacks of small transformers and LSTMs
training      their training on masked tokens
curvature     `trace(model, data)` of a network's Fisher matrix, with its interval
downstream    heads and fine-tuning on the tasks of a language
cohorts       networks of many random languages, compared at matched excess loss
runs          stored runs, resumed after an interruption
cli           the command `flatproof`
environment   how a run is asked for, and where it is made
streams       one seed for every purpose
"""
