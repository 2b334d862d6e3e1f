/* SPDX-License-Identifier: Apache-2.0 */
#include "runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { RING_BYTES_MAX = 1 << 20, NOTICE_BYTES = 320 };

void weir_run_log_init(struct weir_run_log *l, uint64_t max_bytes)
{
    *l = (struct weir_run_log){.fd = -1, .max_bytes = max_bytes < 4096 ? 4096 : max_bytes};
    l->ring_size = (size_t)(l->max_bytes / 4 > RING_BYTES_MAX ? RING_BYTES_MAX : l->max_bytes / 4);
}

static void put(struct weir_run_log *l, const char *p, size_t n)
{
    if (l->fd < 0 && l->error == 0) {
        l->fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (l->fd < 0) {
            l->error = errno;
        }
    }
    while (n > 0 && l->error == 0) {
        ssize_t wrote = write(l->fd, p, n);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            l->error = wrote < 0 ? errno : ENOSPC;
            return;
        }
        p += wrote;
        n -= (size_t)wrote;
        l->size += (uint64_t)wrote;
    }
}

static void put_ring(struct weir_run_log *l, const char *p, size_t n)
{
    if (n >= l->ring_size) {
        l->dropped += l->ring_n + (n - l->ring_size);
        memcpy(l->ring, p + (n - l->ring_size), l->ring_size);
        l->ring_at = 0;
        l->ring_n = l->ring_size;
        return;
    }
    size_t first = l->ring_size - l->ring_at < n ? l->ring_size - l->ring_at : n;
    memcpy(l->ring + l->ring_at, p, first);
    memcpy(l->ring, p + first, n - first);
    l->ring_at = (l->ring_at + n) % l->ring_size;
    size_t total = l->ring_n + n;
    if (total > l->ring_size) {
        l->dropped += total - l->ring_size;
        total = l->ring_size;
    }
    l->ring_n = total;
}

void weir_run_log_write(struct weir_run_log *l, const char *p, size_t n)
{
    if (l->ring == NULL) {
        uint64_t room = l->max_bytes - l->ring_size - NOTICE_BYTES;
        room = l->size < room ? room - l->size : 0;
        size_t now = n < room ? n : (size_t)room;
        put(l, p, now);
        if (now == n) {
            return;
        }
        char notice[NOTICE_BYTES / 2];
        int len = snprintf(notice,
                           sizeof notice,
                           "\n[weir: the log has reached its limit; of what follows the last %zu bytes are kept and come when the task ends]\n",
                           l->ring_size);
        put(l, notice, (size_t)len);
        l->ring = weir_alloc(l->ring_size);
        p += now;
        n -= now;
    }
    put_ring(l, p, n);
}

void weir_run_log_finish(struct weir_run_log *l)
{
    if (l->ring != NULL) {
        char notice[NOTICE_BYTES / 2];
        int len = snprintf(notice, sizeof notice, "[weir: %llu bytes were left out here]\n", (unsigned long long)l->dropped);
        put(l, notice, (size_t)len);
        size_t from = l->ring_n < l->ring_size ? 0 : l->ring_at;
        size_t first = l->ring_size - from < l->ring_n ? l->ring_size - from : l->ring_n;
        put(l, l->ring + from, first);
        put(l, l->ring, l->ring_n - first);
        free(l->ring);
        l->ring = NULL;
    }
    if (l->fd >= 0) {
        (void)close(l->fd);
        l->fd = -1;
    }
}
