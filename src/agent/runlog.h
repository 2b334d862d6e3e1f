/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A run's log: bytes in, one file that only grows and never passes its limit. What comes over the
 * limit is kept in a ring of its last bytes, written behind a notice when the run ends: the
 * beginning and the end of a flood are what a person wants to see.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_run_log {
    int fd; /* -1: not made yet; a run without output has no file */
    uint64_t size;      /* of the file */
    uint64_t max_bytes; /* of the file, the ring included */
    uint64_t dropped;   /* came over the limit and is not in the ring any more */
    int error;          /* errno of the first write that failed; later output is lost */
    char *ring;
    size_t ring_size;
    size_t ring_at;
    size_t ring_n;
};

/* max_bytes at least 4096. The file "log" is made in the current directory with the first byte. */
void weir_run_log_init(struct weir_run_log *l, uint64_t max_bytes);
void weir_run_log_write(struct weir_run_log *l, const char *p, size_t n);
/* Writes what the ring holds and closes. */
void weir_run_log_finish(struct weir_run_log *l);
