/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading small files whole. Not for the pure parts. */

#include <stddef.h>

#include "err.h"

/*
 * The whole file, at most max bytes, with a '\0' behind them. Pipes and the files of /proc will do. Errors: those of
 * opening and reading (-WEIR_ENOTFOUND, -WEIR_EDENIED, -WEIR_EIO), -WEIR_ELIMIT where it is larger. Caller frees *ret.
 */
int weir_file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct weir_err *err);
/* The same from an open descriptor, which stays open; name is for messages. */
int weir_file_read_fd(int fd, const char *name, size_t max, char **ret, size_t *ret_n, struct weir_err *err);
