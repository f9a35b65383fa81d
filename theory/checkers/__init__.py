"""The checkers behind `theory.kernel`: each decides one kind of step, and answers with evidence or a failure."""
