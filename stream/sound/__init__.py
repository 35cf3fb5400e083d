"""Sound devices: microphones and outputs by PortAudio, PulseAudio's virtual microphone, the delayed voice.

Never holds WebRTC or video.
"""
