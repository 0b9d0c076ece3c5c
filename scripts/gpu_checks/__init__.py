"""What ``scripts/gpu_check`` is made of: the CUDA step on a device, held to stored results, to its laws and to a copy.

Nothing here needs MXNet. A check is a function of a device (devices.py: a GPU through CuPy, or the host through a C++
compiler) that yields rows of a table.
"""
