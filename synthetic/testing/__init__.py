"""What holds a language to its interface.

`conformance`: the suite to run on a language of one's own; its checks are in `properties`
`oracle`: the masked-token law in Fractions
`strategies`: hypothesis strategies of small languages of every family
`pytest_plugin`: the suite as a fixture
"""

from synthetic.testing.conformance import ConformanceError, ConformanceReport, conformance
from synthetic.testing.oracle import exact_masked_law

__all__ = ["ConformanceError", "ConformanceReport", "conformance", "exact_masked_law"]
