/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What goes for its age: events, explain records, the audit log and logs, a little at a time, so that nobody waits for it; and holds that
 * were released, and the credentials of machines that are over. The ledger, jobs and their bills are never removed.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "broker_priv.h"

enum {
    ROWS_PER_BATCH = 1000,
    FILES_PER_BATCH = 200,
    BATCH_MS = 200,
    REST_MS = 60000,         /* after a batch that found nothing more to remove */
    LOGS_REST_MS = 3600000,  /* after a whole walk */
};

static struct weir_wall before(struct broker *b, struct weir_dur kept)
{
    return (struct weir_wall){weir_i64_sub_sat(weir_engine_now(b->engine).us, kept.us)};
}

static void prune_rows(struct broker *b, uint64_t now)
{
    struct weir_err err;
    uint32_t removed = 0;
    const struct weir_prune p = {before(b, b->config->retention.events), before(b, b->config->retention.explains),
                                 before(b, b->config->retention.audit), ROWS_PER_BATCH};
    if (weir_engine_prune(b->engine, &p, &removed, &err) != 0) {
        weir_log(WEIR_LOG_WARNING, "retention", "text=\"%s\"", err.text);
    }
    b->retention.rows_due_ms = now + (removed > 0 ? BATCH_MS : REST_MS);
}

/* Removes the file where it is old. Files only; a directory or link is not ours. */
static void prune_file(int dir, const char *name, struct weir_wall old)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (int64_t)st.st_mtim.tv_sec < old.us / WEIR_US_PER_S) {
        (void)unlinkat(dir, name, 0);
    }
}

/* The next job's directory whose job has ended; false: the walk is over. */
static bool next_job(struct broker *b, unsigned *budget)
{
    struct retention *r = &b->retention;
    struct dirent *d;
    while (*budget > 0 && (d = readdir(r->logs)) != NULL) {
        uint64_t job;
        struct weir_job_view v;
        --*budget;
        if (weir_parse_u64(weir_sv_of(d->d_name), 1, INT64_MAX, &job, NULL) != 0 ||
            (weir_core_job(weir_engine_core(b->engine), (struct weir_job_id){job}, &v) && !weir_job_state_is_final(v.state))) {
            continue;
        }
        int fd = openat(dirfd(r->logs), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r->files = fd < 0 ? NULL : fdopendir(fd);
        if (r->files != NULL) {
            (void)snprintf(r->job, sizeof r->job, "%" PRIu64, job);
            return true;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return *budget == 0;
}

static void prune_logs(struct broker *b, uint64_t now)
{
    struct retention *r = &b->retention;
    struct weir_wall old = before(b, b->config->retention.logs);
    unsigned budget = FILES_PER_BATCH;
    r->logs = r->logs == NULL ? opendir(b->log_dir) : r->logs;
    bool more = r->logs != NULL;
    while (more && budget > 0) {
        struct dirent *d = r->files == NULL ? NULL : readdir(r->files);
        if (d != NULL) {
            budget--;
            prune_file(dirfd(r->files), d->d_name, old);
        } else if (r->files != NULL) {
            (void)closedir(r->files);
            r->files = NULL;
            (void)unlinkat(dirfd(r->logs), r->job, AT_REMOVEDIR); /* where it is empty now */
        } else {
            more = next_job(b, &budget);
        }
    }
    if (!more && r->logs != NULL) {
        (void)closedir(r->logs);
        r->logs = NULL;
    }
    if (!more) {
        tokens_forget_old(b);
    }
    r->logs_due_ms = now + (more ? BATCH_MS : LOGS_REST_MS);
}

void retention_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    if (b->store_full) {
        return; /* removing rows takes room as well */
    }
    if (now >= b->retention.rows_due_ms) {
        prune_rows(b, now);
    }
    if (now >= b->retention.logs_due_ms) {
        prune_logs(b, now);
    }
}

void retention_free(struct broker *b)
{
    if (b->retention.files != NULL) {
        (void)closedir(b->retention.files);
    }
    if (b->retention.logs != NULL) {
        (void)closedir(b->retention.logs);
    }
}
