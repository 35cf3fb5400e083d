"""Messages about virtual camera drivers: what to install on each system, and why a camera can't be opened."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from stream.errors import StreamError

SYSFS = Path("/sys/class/video4linux")

PACKAGE = "the package pyvirtualcam is missing: pip install pyvirtualcam"
LINUX = """\
the kernel module v4l2loopback is missing or not loaded. Install it:
  Debian, Ubuntu:  sudo apt install v4l2loopback-dkms
  Fedora:          sudo dnf install akmod-v4l2loopback   (from RPM Fusion)
  Arch:            sudo pacman -S v4l2loopback-dkms
load it:
  sudo modprobe v4l2loopback devices=1 card_label="Presenter" exclusive_caps=1
and have it loaded at every start:
  echo v4l2loopback | sudo tee /etc/modules-load.d/v4l2loopback.conf
  echo 'options v4l2loopback devices=1 card_label="Presenter" exclusive_caps=1' \\
    | sudo tee /etc/modprobe.d/v4l2loopback.conf"""
MACOS = """\
the camera comes with OBS 30 or later (macOS 13 or later):
  brew install --cask obs
Open OBS once, press "Start Virtual Camera", allow its system extension when macOS asks, press "Stop Virtual Camera", \
quit OBS."""
WINDOWS = """\
the camera comes with OBS:
  winget install OBSProject.OBSStudio
or with UnityCapture, which leaves the camera of OBS free: https://github.com/schellingb/UnityCapture"""
PERMISSION = """\
no permission to open the device: join the group video, then log out and in:
  sudo usermod -aG video $USER"""
BUSY = (
    "another program holds it: end that program (OBS offers its camera to one program at a time), or take another one"
)
STUCK = """\
If no program has it open, the module is stuck; load it anew:
  sudo modprobe -r v4l2loopback && sudo modprobe v4l2loopback devices=1 card_label="Presenter" exclusive_caps=1"""
INSTALL = {"Linux": LINUX, "Darwin": MACOS, "Windows": WINDOWS}
"""What to install, by `platform.system()`."""


class CameraError(StreamError):
    """A virtual camera can't be opened; says what to install or to choose, with the commands."""


@dataclass(frozen=True)
class CameraDevice:
    """A video device, virtual or not."""

    device: str
    """What `--camera` takes: `/dev/video0`, or a name."""
    name: str
    """As applications show it."""


def list_cameras(system: str | None = None, sysfs: Path = SYSFS) -> list[CameraDevice]:
    """Return the video devices of a Linux machine, virtual or not; elsewhere the names that can be opened."""
    if (system or platform.system()) == "Linux":
        found = [(int(path.name[5:]), path) for path in sysfs.glob("video*") if path.name[5:].isdigit()]
        names = [path / "name" for _, path in sorted(found)]
        return [CameraDevice(f"/dev/{path.parent.name}", path.read_text().strip()) for path in names if path.is_file()]
    known = {"Darwin": ["OBS Virtual Camera"], "Windows": ["OBS Virtual Camera", "Unity Video Capture"]}
    return [CameraDevice(name, name) for name in known.get(system or platform.system(), [])]


def find_camera(device: str | None, system: str | None = None, sysfs: Path = SYSFS) -> str | None:
    """Turn the name of a Linux device into its file; all else, None included, stays as it is."""
    for camera in list_cameras(system, sysfs):
        if device == camera.name:
            return camera.device
    return device


def why_no_camera(reason: str, device: str | None, system: str | None = None, sysfs: Path = SYSFS) -> str:
    """Say what to do, given what the driver says and the device asked for; `system` as of `platform.system()`."""
    system = system or platform.system()
    cameras = list_cameras(system, sysfs)
    there = ", ".join(f"{camera.device} ({camera.name})" for camera in cameras) or "none"
    lower = reason.lower()
    if "permission" in lower:
        advice = PERMISSION if system == "Linux" else "allow this program to use the camera in the system's settings"
    elif any(word in lower for word in ("busy", "in use", "already", "failed to start")):
        advice = BUSY + ("\n" + STUCK if system == "Linux" else "")
    elif device is not None and system == "Linux" and cameras:
        advice = f"expected one of these devices, made by v4l2loopback: {there}"
    elif device is not None and system != "Linux" and all(device != camera.device for camera in cameras):
        advice = f"expected one of: {', '.join(camera.device for camera in cameras) or 'none known'}"
    else:
        advice = INSTALL.get(system, f"virtual cameras are known on {', '.join(INSTALL)}, not on {system}")
    asked = "a virtual camera" if device is None else f"the camera {device!r}"
    return f"can't open {asked}: {advice}\n(the driver says: {reason})"
