"""Shape annotations are checked while the tests run: jaxtyping with beartype, installed before the packages load."""

import torch
from jaxtyping import install_import_hook

install_import_hook(["synthetic", "verify"], "beartype.beartype")

# The matrices of the tests are tiny: on a busy machine a second thread costs four times what it gains.
torch.set_num_threads(1)
