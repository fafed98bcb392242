# SPDX-License-Identifier: MIT
"""What /proc says about processes, this one included."""
