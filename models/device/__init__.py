"""A frame as tensor operations of fixed shapes: mesh points and a head pose in, a picture in YUV 4:2:0 out.

The steps that `live_inputs`, `mouth_interior`, `layer`, `still` and `head_warp` take on a CPU with OpenCV, for batches
of streams, so that on a GPU nothing but points, poses and finished pictures crosses between host and device.
"""
