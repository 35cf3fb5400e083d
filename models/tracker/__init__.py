"""The face tracker: pictures in, 478 landmarks in pixels out, blendshapes on request.

The networks are MediaPipe's (face detection, attention mesh, blendshapes), converted to ONNX; the graph around them is
written here after MediaPipe's. docs/adr/0003.
"""

from models.tracker.blendshapes import BLENDSHAPE_NAMES
from models.tracker.face_tracker import FaceTracker, TrackedFace

__all__ = ["BLENDSHAPE_NAMES", "FaceTracker", "TrackedFace"]
