"""Sound devices: microphones and outputs by PortAudio, PulseAudio's virtual microphone, the delayed output.

Never holds WebRTC or video.
"""
