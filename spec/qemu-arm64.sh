#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/qemu-arm64.sh [-0 NAME] PROGRAM [ARGUMENT...] -- runs a program for arm64 under qemu-user.
#
#   QEMU_GIB   the addresses that it and qemu may use (21)
#
# A limit, because qemu remembers each page of what a program has reserved: the 2 TB of C stacks would cost it 13 GB of
# memory. Of 21 GB the tables of goroutines and waiters and the C stacks, which take what there is by powers of two, leave
# 1.6 GB for the rest; of some others hardly anything. Not qemu's -R, which does the same, but of a mapping that mremap has
# shrunk loses the next one as well (qemu 7.2).
#
# That is room for 150 threads, but not for the 64 MB that malloc, the program's and qemu's own, would reserve for each of
# the first ones.
set -euo pipefail
export MALLOC_ARENA_MAX=2
exec prlimit --as=$((${QEMU_GIB:-21} << 30)) qemu-aarch64 "$@"
