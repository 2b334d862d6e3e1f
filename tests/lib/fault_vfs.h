/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A SQLite VFS that lets the n-th changing operation fail: open, write, sync or truncate. Everything else goes to the
 * default VFS. One per process; not for threads.
 */

#include <stdbool.h>

#define FAULT_VFS_NAME "weir-fault"

enum fault_kind {
    FAULT_IO,   /* SQLITE_IOERR */
    FAULT_FULL, /* SQLITE_FULL */
};

/* May be called often. */
void fault_vfs_register(void);
/* The n-th operation from now fails (n from 1; 0: none); sticky: all after it too. */
void fault_vfs_arm(enum fault_kind kind, unsigned n, bool sticky);
/* Has it failed since the last arm? */
bool fault_vfs_hit(void);
