"""The one door to the kernel: raw system calls through ctypes. Nothing above imports ctypes."""
