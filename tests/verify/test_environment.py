"""Versions and hardware are found, and a missing device is one clear error."""

import pytest

from verify.environment import PACKAGES, DeviceError, hardware, require_device, versions


def test_versions_and_hardware_are_filled() -> None:
    found = versions()
    assert found.keys() == {"python", *PACKAGES}
    assert all(found.values())
    described = hardware("cpu")
    assert described["device"] == "cpu"
    assert isinstance(described["cores"], int)
    assert described["cores"] >= 1
    assert described["processor"]


def test_cpu_is_always_there() -> None:
    assert require_device("cpu") == "cpu"


def test_cuda_without_a_device_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"expected a CUDA device for --device cuda.*--device cpu"):
        require_device("cuda")
