/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs of runs: files under log_dir, written by the agents' uploads on the server threads and read from
 * there. A file only grows; one lock per file (of a small set, by hash) keeps two uploads apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "net/digest.h"

enum { PATH_SIZE = 4096 };

uint64_t api_log_key(struct weir_run_id run, uint32_t rank)
{
    uint64_t parts[4] = {run.task.job.v, run.task.ordinal, run.attempt, rank};
    uint64_t h = weir_hash_bytes(parts, sizeof parts);
    return h == 0 ? 1 : h;
}

void weir_api_log_path(const char *log_dir, struct weir_run_id run, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%s/%" PRIu64 "/%" PRIu32 ".%" PRIu32 ".log", log_dir, run.task.job.v, run.task.ordinal,
                   run.attempt);
}

/* Rank 0 has the plain name; the others of a gang stand beside it. */
static void rank_path(const char *log_dir, struct weir_run_id run, uint32_t rank, char *buf, size_t size)
{
    if (rank == 0) {
        weir_api_log_path(log_dir, run, buf, size);
    } else {
        (void)snprintf(buf, size, "%s/%" PRIu64 "/%" PRIu32 ".%" PRIu32 ".%" PRIu32 ".log", log_dir, run.task.job.v,
                       run.task.ordinal, run.attempt, rank);
    }
}

/* ---- upload ---- */

static int make_dirs(const char *log_dir, uint64_t job)
{
    char dir[PATH_SIZE];
    if (mkdir(log_dir, 0700) < 0 && errno != EEXIST) {
        return -1;
    }
    (void)snprintf(dir, sizeof dir, "%s/%" PRIu64, log_dir, job);
    return mkdir(dir, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int open_log(const char *log_dir, uint64_t job, const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags, 0600);
    if (fd < 0 && errno == ENOENT && make_dirs(log_dir, job) == 0) {
        fd = open(path, flags, 0600);
    }
    return fd;
}

/* Writes all of it at offset; on failure what was written stays: the agent goes on from there. */
static int write_at(int fd, const char *p, size_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t w = pwrite(fd, p, n, (off_t)offset);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w < 0) {
            return -1;
        }
        p += w;
        n -= (size_t)w;
        offset += (uint64_t)w;
    }
    return 0;
}

struct upload {
    uint64_t offset;
    struct weir_sv body;
    uint64_t bytes_max;
    uint64_t size;     /* out: what the agent goes on from */
    bool is_truncated; /* out */
    bool has_grown;    /* out */
};

/*
 * A file that is longer than the limit ends with the notice: all later bytes are taken and dropped, so that the
 * agent comes to its end.
 */
static int append(int fd, struct upload *u, struct weir_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s", strerror(errno));
    }
    uint64_t have = (uint64_t)st.st_size;
    uint64_t end = u->offset + u->body.n;
    u->is_truncated = have > u->bytes_max;
    if (u->is_truncated) {
        u->size = end;
        return 0;
    }
    u->size = have;
    if (u->offset > have) {
        return -WEIR_ECONFLICT;
    }
    if (end <= have) {
        return 0;
    }
    uint64_t skip = have - u->offset;
    uint64_t keep = u->body.n - skip;
    bool is_over = keep > u->bytes_max - have;
    keep = is_over ? u->bytes_max - have : keep;
    u->has_grown = true;
    int rc = write_at(fd, u->body.p + skip, (size_t)keep, have);
    if (rc == 0 && is_over) {
        char notice[128];
        int n = snprintf(notice, sizeof notice,
                         "\n[weir: the log's limit of %" PRIu64 " bytes is reached; what comes after is not kept]\n",
                         u->bytes_max);
        rc = write_at(fd, notice, (size_t)n, have + keep);
        u->is_truncated = true;
    }
    if (rc < 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s", strerror(errno));
    }
    u->size = end;
    return 0;
}

static void reply_size(struct weir_http_request *r, int status, const struct upload *u)
{
    struct weir_str out = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "size", u->size);
    weir_json_kv_bool(&j, "truncated", u->is_truncated);
    if (status != 200) {
        weir_json_key(&j, "error");
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "code", weir_error_name(-WEIR_ECONFLICT));
        weir_json_kv_cstr(&j, "message", "the offset is beyond what is stored; go on from size");
        weir_json_end(&j);
    }
    weir_json_end(&j);
    api_reply(r, status, &out);
}

/* ---- who may write which log ---- */

struct log_run {
    struct weir_run_id id;
    uint32_t rank;
    struct weir_node_id node; /* whose agent says that it has it */
    bool is_there;            /* out */
    bool is_over;             /* out: the task does not say any more where it was */
};

void weir_api_log_ticket(const char *ticket_key, struct weir_run_id run, uint32_t rank, struct weir_node_id node,
                         char ret[static WEIR_LOG_TICKET_SIZE])
{
    char text[128];
    char hex[WEIR_SHA256_HEX_SIZE];
    (void)snprintf(text, sizeof text, "log %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64, run.task.job.v, run.task.ordinal,
                   run.attempt, rank, node.v);
    weir_hmac_sha256_hex(weir_sv_of(ticket_key), weir_sv_of(text), hex);
    (void)snprintf(ret, WEIR_LOG_TICKET_SIZE, "%.32s", hex);
}

/* Looks at every digit, so that the time it takes tells nothing of them. */
static bool is_ticket_of(const char *ticket_key, const struct log_run *run, const char *ticket)
{
    char want[WEIR_LOG_TICKET_SIZE];
    if (ticket == NULL || strlen(ticket) != WEIR_LOG_TICKET_SIZE - 1) {
        return false;
    }
    weir_api_log_ticket(ticket_key, run->id, run->rank, run->node, want);
    unsigned differ = 0;
    for (size_t i = 0; i < WEIR_LOG_TICKET_SIZE - 1; i++) {
        differ |= (unsigned char)want[i] ^ (unsigned char)ticket[i];
    }
    return differ == 0;
}

static int on_log_run(void *ctx, const struct weir_task_row *row)
{
    struct log_run *run = ctx;
    const struct weir_task_view *v = &row->view;
    const struct weir_node_id *gang = v->n_nodes > 1 ? v->gang_node : &v->node;
    bool is_known = run->id.attempt == v->attempt && run->rank < v->n_nodes && gang != NULL;
    run->is_there = is_known && gang[run->rank].v == run->node.v;
    run->is_over = !is_known && run->id.attempt <= v->attempt;
    return 0;
}

/*
 * An agent may write the logs of its own runs only: its host may be anybody's who was given its token. A ticket tells for good; without one the
 * task tells where its present attempt is.
 */
static int check_log_run(struct api_request *rq, struct log_run *run)
{
    if (is_ticket_of(rq->api->conf.ticket_key, run, api_text(rq, "ticket"))) {
        return 0;
    }
    unsigned which;
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->get_task(s, run->id.task, on_log_run, run, &rq->err);
    api_reader_put(rq->api, which);
    if ((rc < 0 && rc != -WEIR_ENOTFOUND) || run->is_there) {
        return rc;
    }
    /* what is over does not change any more: an agent gives such a log up */
    return weir_fail(&rq->err, run->is_over ? -WEIR_ENOTFOUND : -WEIR_EDENIED,
                     "agent: nothing shows that rank %" PRIu32 " of attempt %" PRIu32 " of task %" PRIu64 ".%" PRIu32 " %s on node %" PRIu64
                     ": its log is not taken from there",
                     run->rank, run->id.attempt, run->id.task.job.v, run->id.task.ordinal, run->is_over ? "was" : "is", run->node.v);
}

void api_handle_log_upload(struct api_request *rq)
{
    struct weir_api *a = rq->api;
    struct weir_service *s = a->conf.service;
    struct weir_node_id node = {api_number(rq, "node", 0)};
    uint32_t rank = (uint32_t)api_number(rq, "rank", 0);
    struct weir_run_id run = {{{api_number(rq, "job", 0)}, (uint32_t)api_number(rq, "ordinal", 0)},
                              (uint32_t)api_number(rq, "attempt", 0)};
    int rc = s->ops->check_session(s, node, api_text(rq, "session"), &rq->err);
    rc = rc < 0 ? rc : check_log_run(rq, &(struct log_run){.id = run, .rank = rank, .node = node});
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    char path[PATH_SIZE];
    uint64_t key = api_log_key(run, rank);
    struct upload u = {
        .offset = api_number(rq, "offset", 0), .body = weir_request_body(rq->http), .bytes_max = a->conf.log_bytes_max};
    rank_path(a->conf.log_dir, run, rank, path, sizeof path);
    pthread_mutex_t *lock = &a->log_lock[key % API_LOG_LOCKS];
    (void)pthread_mutex_lock(lock);
    WEIR_CLEANUP(weir_closep) int fd = open_log(a->conf.log_dir, run.task.job.v, path);
    rc = fd < 0 ? weir_fail(&rq->err, weir_error_from_errno(errno), "%s", strerror(errno)) : append(fd, &u, &rq->err);
    (void)pthread_mutex_unlock(lock);
    if (u.has_grown) {
        api_streams_wake(a, key);
    }
    if (rc == -WEIR_ECONFLICT) {
        reply_size(rq->http, 409, &u);
    } else if (rc < 0) {
        (void)weir_fail_prefix(&rq->err, rc, "log '%s'", path);
        api_fail(rq->http, rc, &rq->err);
    } else {
        reply_size(rq->http, 200, &u);
    }
}

/* ---- reading ---- */

/* What is known of the task whose log is read. A task without a row is waiting for its first start. */
struct log_task {
    uint32_t attempt;
    enum weir_task_state state;
};

struct log_stream {
    struct api_stream base; /* first */
    struct weir_job_id job;
    uint32_t ordinal;
    uint32_t attempt; /* 0: the task has not started yet */
    uint32_t rank;
    bool follow;
    bool one_attempt; /* follow ends with it */
    bool is_over;     /* this attempt has ended: what the file holds is all */
    bool is_last;     /* no attempt comes after it */
    int fd;
    uint64_t offset;
    struct log_task seen; /* at the last look */
};

static int on_log_task(void *ctx, const struct weir_task_row *row)
{
    struct log_task *t = ctx;
    t->attempt = row->view.attempt;
    t->state = row->view.state;
    return 0;
}

static int get_log_task(struct weir_store *s, struct weir_task_id id, struct log_task *ret, struct weir_err *err)
{
    *ret = (struct log_task){.state = WEIR_TASK_WAITING};
    int rc = s->ops->get_task(s, id, on_log_task, ret, err);
    return rc == -WEIR_ENOTFOUND ? 0 : rc;
}

/* Looks how far the attempt is. */
static int look(struct log_stream *l)
{
    unsigned which;
    struct log_task t;
    struct weir_err err = {{0}};
    struct weir_store *s = api_reader_take(l->base.api, &which);
    int rc = get_log_task(s, (struct weir_task_id){l->job, l->ordinal}, &t, &err);
    api_reader_put(l->base.api, which);
    if (rc < 0) {
        return rc;
    }
    bool ended = weir_task_state_is_final(t.state);
    if (l->attempt == 0 && t.attempt > 0) {
        l->attempt = 1; /* its first start */
    }
    l->is_over = t.attempt > l->attempt || ended || (t.state == WEIR_TASK_WAITING && l->attempt > 0);
    l->is_last = ended && t.attempt == l->attempt;
    l->seen = t;
    return 0;
}

static long read_some(struct log_stream *l, char *buf, size_t size)
{
    if (l->fd < 0 && l->attempt > 0) {
        char path[PATH_SIZE];
        struct weir_run_id run = {{l->job, l->ordinal}, l->attempt};
        atomic_store(&l->base.log_key, api_log_key(run, l->rank));
        rank_path(l->base.api->conf.log_dir, run, l->rank, path, sizeof path);
        l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (l->fd < 0) {
        return 0;
    }
    ssize_t n;
    do {
        n = pread(l->fd, buf, size, (off_t)l->offset);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        l->offset += (uint64_t)n;
    }
    return n < 0 ? -1 : (long)n;
}

static long log_pull(void *ctx, char *buf, size_t size)
{
    struct log_stream *l = ctx;
    if (!api_stream_may(&l->base)) {
        return -1;
    }
    long n = read_some(l, buf, size);
    if (n != 0 || !l->follow) {
        return n == 0 ? -1 : n;
    }
    for (;;) {
        if (look(l) < 0) {
            return -1;
        }
        /* What came between the read and the look. */
        n = read_some(l, buf, size);
        if (n != 0) {
            return n;
        }
        if (l->is_last || (l->is_over && l->one_attempt)) {
            return -1;
        }
        if (!l->is_over) {
            return 0;
        }
        if (l->seen.attempt <= l->attempt) {
            return 0; /* queued again, not yet started */
        }
        weir_closep(&l->fd);
        l->fd = -1;
        l->attempt++;
        l->offset = 0;
        l->is_over = false;
    }
}

static void log_done(void *ctx)
{
    struct log_stream *l = ctx;
    api_stream_end(&l->base);
    weir_closep(&l->fd);
    free(l);
}

static int find_log(struct api_request *rq, struct weir_store *s, struct log_stream *l)
{
    struct api_job job;
    struct api_array array;
    struct log_task t = {0};
    int rc = api_job_get(s, l->job, false, &job, &rq->err);
    if (rc < 0) {
        return rc;
    }
    const struct api_value *task = api_param(rq, "task");
    rc = api_array_parse(job.array, job.view.n_tasks, &array, &rq->err);
    if (rc == 0 && task->is_given) {
        rc = api_array_find(&array, l->job, task->number, &l->ordinal, &rq->err);
    } else if (rc == 0 && job.view.n_tasks > 1) {
        rc = weir_fail(&rq->err, -WEIR_EINVAL,
                       "job %" PRIu64 " is an array of %" PRIu32 " tasks: say which one with task=INDEX", l->job.v,
                       job.view.n_tasks);
    }
    api_job_release(&job);
    rc = rc < 0 ? rc : get_log_task(s, (struct weir_task_id){l->job, l->ordinal}, &t, &rq->err);
    const struct api_value *attempt = api_param(rq, "attempt");
    if (rc == 0 && attempt->is_given && attempt->number > t.attempt) {
        return weir_fail(&rq->err, -WEIR_ENOTFOUND,
                         "job %" PRIu64 " has had %" PRIu32 " attempts at this task, not %" PRIu64, l->job.v, t.attempt,
                         attempt->number);
    }
    l->attempt = attempt->is_given ? (uint32_t)attempt->number : t.attempt;
    l->one_attempt = attempt->is_given;
    return rc;
}

void api_handle_log(struct api_request *rq)
{
    unsigned which;
    struct log_stream *l = weir_alloc(sizeof *l);
    *l = (struct log_stream){.base = {.api = rq->api}, .job = {rq->path[0].number}, .fd = -1};
    l->rank = (uint32_t)api_number(rq, "rank", 0);
    l->follow = api_flag(rq, "follow");
    l->offset = api_number(rq, "offset", 0);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = find_log(rq, s, l);
    api_reader_put(rq->api, which);
    if (rc < 0) {
        free(l);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    struct weir_run_id run = {{l->job, l->ordinal}, l->attempt};
    atomic_store(&l->base.log_key, api_log_key(run, l->rank));
    l->base.who = api_who_copy(&rq->who);
    api_stream_begin(&l->base, rq->http, "text/plain; charset=utf-8", log_pull, log_done);
}
