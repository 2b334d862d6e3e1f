/* SPDX-License-Identifier: Apache-2.0 */
#include "follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "output.h"

enum { AWAY_TRIES_MAX = 120, POLL_MS = 200 };

static bool write_all(struct weir_follow *f, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(STDOUT_FILENO, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            f->write_errno = errno;
            return false;
        }
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static bool write_prefixed(struct weir_follow *f, const char *p, size_t n)
{
    while (n > 0) {
        if (!f->in_line && !write_all(f, f->prefix, strlen(f->prefix))) {
            return false;
        }
        const char *end = memchr(p, '\n', n);
        size_t piece = end != NULL ? (size_t)(end - p) + 1 : n;
        if (!write_all(f, p, piece)) {
            return false;
        }
        f->in_line = end == NULL;
        p += piece;
        n -= piece;
    }
    return true;
}

static int sink(void *ctx, const char *p, size_t n)
{
    struct weir_follow *f = ctx;
    if (atomic_load(&f->stop)) {
        return 1;
    }
    (void)pthread_mutex_lock(&f->out);
    bool ok = f->prefixed ? write_prefixed(f, p, n) : write_all(f, p, n);
    (void)pthread_mutex_unlock(&f->out);
    f->offset += n;
    if (n > 0) {
        atomic_store(&f->seen, true);
    }
    return ok ? 0 : 1;
}

static int stream(struct weir_client *a, const struct weir_ref *ref, int64_t attempt, bool follow,
                  struct weir_follow *f, struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(512);
    weir_job_path(&path, ref->job);
    weir_str_adds(&path, "/log");
    if (ref->has_index) {
        weir_query_add_u64(&path, "task", ref->index);
    }
    if (attempt > 0) {
        weir_query_add_u64(&path, "attempt", (uint64_t)attempt);
    }
    if (f->streamed_rank > 0) {
        weir_query_add_u64(&path, "rank", f->streamed_rank);
    }
    if (f->offset > 0) {
        weir_query_add_u64(&path, "offset", f->offset);
    }
    if (follow) {
        weir_query_add(&path, "follow", "true");
    }
    int r = weir_client_stream(a, weir_str_cstr(&path), sink, f, err);
    weir_str_release(&path);
    if (f->write_errno != 0) {
        char text[128];
        return weir_fail(err, weir_error_from_errno(f->write_errno), "standard output: %s",
                         strerror_r(f->write_errno, text, sizeof text));
    }
    return r;
}

/* Ends a line that a task left open, so that what follows begins a line. */
static void close_line(struct weir_follow *f)
{
    if (f->prefixed && f->in_line) {
        (void)write_all(f, "\n", 1);
        f->in_line = false;
    }
}

static void begin_task(struct weir_follow *f, const struct weir_ref *ref, uint32_t rank, uint32_t n_ranks)
{
    close_line(f);
    f->offset = 0;
    f->attempt = 0;
    f->streamed_rank = rank;
    bool tells_task = ref->has_index && !f->one_task;
    f->prefixed = tells_task || (n_ranks > 1 && f->rank < 0);
    struct weir_str prefix = WEIR_STR_INIT(sizeof f->prefix);
    if (tells_task) {
        weir_str_addf(&prefix, "%" PRIu64 "_%u", ref->job, ref->index);
    }
    if (n_ranks > 1) {
        weir_str_addf(&prefix, "%snode %u", tells_task ? " " : "", rank);
    }
    (void)snprintf(f->prefix, sizeof f->prefix, "%s| ", weir_str_cstr(&prefix));
    weir_str_release(&prefix);
}

/* How many nodes a task of the job has. */
static int count_ranks(struct weir_client *a, uint64_t job, uint32_t *ret, struct weir_err *err)
{
    json_t *o = NULL;
    int r = weir_job_get(a, job, &o, err);
    if (r == 0) {
        int64_t n = weir_get_i64(json_object_get(o, "spec"), "num_nodes", 1);
        *ret = n < 1 || n > UINT16_MAX ? 1 : (uint32_t)n;
        json_decref(o);
    }
    return r;
}

/* The ranks to show, as a half-open range. */
static int choose_ranks(struct weir_client *a, uint64_t job, const struct weir_follow *f, uint32_t *ret_from,
                        uint32_t *ret_to, struct weir_err *err)
{
    uint32_t n = 1;
    int r = count_ranks(a, job, &n, err);
    if (r == 0 && f->rank >= (int64_t)n) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "job %" PRIu64 " has nodes 0 to %u, not %" PRId64, job, n - 1, f->rank);
    }
    if (r == 0) {
        *ret_from = f->rank < 0 ? 0 : (uint32_t)f->rank;
        *ret_to = f->rank < 0 ? n : (uint32_t)f->rank + 1;
    }
    return r;
}

/* Looks how far the task is. */
static int look(struct weir_client *a, const struct weir_ref *ref, int64_t *ret_attempt, bool *ret_final,
                struct weir_err *err)
{
    json_t *task = NULL;
    int r = weir_task_get(a, ref, &task, err);
    if (r == 0) {
        *ret_attempt = weir_get_i64(task, "attempt", 0);
        *ret_final = weir_state_is_final(weir_get_text(task, "state"));
        json_decref(task);
    }
    return r;
}

/* A new attempt has a log of its own; none is passed over, however quickly it was over. */
static int64_t next_attempt(struct weir_follow *f, int64_t latest)
{
    bool begins = f->whole && f->offset == 0 && latest > 0;
    int64_t attempt = (f->attempt > 0 || begins) && latest > f->attempt ? f->attempt + 1 : latest;
    /* What was streamed before the first attempt had a number was the first attempt. */
    if (attempt > 1 && attempt > f->attempt && f->offset > 0) {
        close_line(f);
        weir_talk("attempt %" PRId64 " begins", attempt);
        f->offset = 0;
    }
    f->attempt = attempt;
    return attempt;
}

/* One look and one stream; *ret_over where nothing more can come. */
static int follow_once(struct weir_client *a, const struct weir_ref *ref, struct weir_follow *f, bool *ret_over,
                       struct weir_err *err)
{
    int64_t latest = 0;
    bool final = false;
    int r = look(a, ref, &latest, &final, err);
    if (r < 0) {
        return r;
    }
    int64_t attempt = next_attempt(f, latest);
    r = stream(a, ref, attempt, true, f, err);
    if (r == 0 && attempt == 0 && !final) {
        /* Begun before the first attempt, the stream goes over all attempts to the task's end. */
        r = look(a, ref, &latest, &final, err);
        attempt = latest;
    }
    if (r == -WEIR_ENOTFOUND || r == -WEIR_ECONFLICT) {
        r = 0; /* no log yet, or none at all where it was cancelled before it began */
    }
    *ret_over = r == 0 && final && attempt == latest;
    return r;
}

static int follow_rank(struct weir_client *a, const struct weir_ref *ref, struct weir_follow *f, struct weir_err *err)
{
    unsigned away = 0;
    while (!atomic_load(&f->stop)) {
        bool over = false;
        uint64_t before = f->offset;
        int r = follow_once(a, ref, f, &over, err);
        if (over) {
            break;
        }
        bool passing = r == -WEIR_EUNAVAIL || r == -WEIR_EIO || r == -WEIR_ETIMEOUT;
        if (r < 0 && (f->write_errno != 0 || !passing || ++away > AWAY_TRIES_MAX)) {
            return r;
        }
        if (r == 0 || f->offset > before) {
            away = 0;
        }
        if (away == 2) {
            weir_talk("%s; waiting for it", err->text);
        }
        if (f->offset == before) {
            weir_pause((struct weir_dur){(away > 10 ? 1000 : POLL_MS) * WEIR_US_PER_MS});
        }
    }
    close_line(f);
    return 0;
}

static int follow_ranks(struct weir_client *a, const struct weir_ref *ref, uint32_t from, uint32_t to,
                        struct weir_follow *f, struct weir_err *err)
{
    int r = 0;
    for (uint32_t rank = from; r == 0 && rank < to && !atomic_load(&f->stop); rank++) {
        begin_task(f, ref, rank, to);
        r = follow_rank(a, ref, f, err);
    }
    return r;
}

int weir_follow_task(struct weir_client *a, const struct weir_ref *ref, struct weir_follow *f, struct weir_err *err)
{
    uint32_t from = 0, to = 1;
    int r = choose_ranks(a, ref->job, f, &from, &to, err);
    return r < 0 ? r : follow_ranks(a, ref, from, to, f, err);
}

int weir_follow_job(struct weir_client *a, uint64_t job, struct weir_follow *f, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *cursor = NULL;
    uint32_t from = 0, to = 1;
    int rc = choose_ranks(a, job, f, &from, &to, err);
    if (rc < 0) {
        return rc;
    }
    for (;;) {
        struct weir_str path = WEIR_STR_INIT(4096);
        weir_job_path(&path, job);
        weir_str_adds(&path, "/tasks?limit=100");
        weir_query_add(&path, "cursor", cursor);
        json_t *page = NULL;
        int r = weir_client_call(a, "GET", weir_str_cstr(&path), NULL, &page, err);
        weir_str_release(&path);
        size_t i;
        json_t *task;
        json_array_foreach(json_object_get(page, "items"), i, task)
        {
            struct weir_ref ref = {.job = job, .has_index = weir_get_is_set(task, "index")};
            ref.index = (uint32_t)weir_get_i64(task, "index", 0);
            if (r == 0 && !atomic_load(&f->stop)) {
                r = follow_ranks(a, &ref, from, to, f, err);
            }
        }
        const char *next = weir_get_text(page, "next");
        weir_freep(&cursor);
        cursor = next != NULL && json_array_size(json_object_get(page, "items")) > 0 ? weir_strdup(next) : NULL;
        json_decref(page);
        if (r < 0 || cursor == NULL || atomic_load(&f->stop)) {
            return r;
        }
    }
}

int weir_follow_print(struct weir_client *a, const struct weir_ref *ref, uint64_t attempt, struct weir_follow *f,
                      struct weir_err *err)
{
    uint32_t from = 0, to = 1;
    int r = choose_ranks(a, ref->job, f, &from, &to, err);
    for (uint32_t rank = from; r == 0 && rank < to; rank++) {
        begin_task(f, ref, rank, to);
        r = stream(a, ref, (int64_t)attempt, false, f, err);
        close_line(f);
    }
    return r;
}
