// SPDX-License-Identifier: GPL-2.0
//! Constants, layouts and functions of ours against those of the kernel.

mod constants;
mod layouts;
