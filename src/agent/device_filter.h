/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Closes devices to a control group of version 2, which has no file for that: the kernel asks a small eBPF program
 * (BPF_PROG_TYPE_CGROUP_DEVICE) at each open. It lives as long as the group. Needs CAP_BPF or CAP_SYS_ADMIN.
 */

#include <stdbool.h>

/* A character device. */
struct weir_device_number {
    unsigned major;
    unsigned minor;
};

enum { WEIR_DEVICE_FILTER_MAX = 64 };

/* Denies those devices, n of them, to the group whose directory that is; what groups above deny stays denied. */
bool weir_device_filter_attach(const char *cgroup_dir, const struct weir_device_number *deny, unsigned n);
/* Could it be done in that group? Tried with a program that denies nothing and is taken off again. */
bool weir_device_filter_works(const char *cgroup_dir);
