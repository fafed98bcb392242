# SPDX-License-Identifier: MIT
"""What is known about cryptography on a host, as tables."""
