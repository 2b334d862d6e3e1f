/* SPDX-License-Identifier: Apache-2.0 */
/* What only a store in a file can suffer: kills, faults, full disks, damage, other versions, other brokers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "fault_vfs.h"
#include "rows.h"
#include "store/ledger_page.h"

#define T0 INT64_C(1767225600000000)

static struct weir_err err;

static int open_db(struct weir_store **ret, const struct scratch *d, const char *vfs)
{
    err.text[0] = '\0';
    return weir_store_sqlite_open(ret, &(struct weir_store_conf){.path = d->db, .durable = vfs != NULL, .vfs = vfs}, &err);
}

static void must(int r)
{
    if (r != 0) {
        fail_msg("%d: %s", r, err.text);
    }
}

/* One transaction: a job, its event and a posting, all with the same number. */
static int put_one(struct weir_store *s, uint64_t k, struct weir_err *e)
{
    int r = s->ops->begin(s, e);
    if (r < 0) {
        return r;
    }
    struct weir_job_row j = sample_job(k);
    struct weir_event_row ev = sample_event(k, k);
    struct weir_posting p = sample_posting(k, k, T0 + (int64_t)k, T0 + (int64_t)k + 7);
    (void)s->ops->put_job(s, &j, e);
    (void)s->ops->put_event(s, &ev, e);
    (void)s->ops->put_posting(s, &p, e);
    return s->ops->commit(s, e);
}

struct seen {
    uint64_t jobs;
    uint64_t events;
    uint64_t postings;
    uint64_t costs;
    int64_t total;
    int64_t energy_mj;
    int64_t unknown_micro;
};

static int see_job(void *ctx, const struct weir_job_row *r)
{
    struct seen *s = ctx;
    assert_int_equal(r->view.id.v, ++s->jobs); /* without a gap */
    return 0;
}

static int see_cost(void *ctx, const struct weir_job_row *r)
{
    struct seen *s = ctx;
    s->costs++;
    assert_int_equal(r->cost_micro, 7);
    assert_string_equal(r->name, "train");
    return 0;
}

static int see_event(void *ctx, const struct weir_event_row *r)
{
    struct seen *s = ctx;
    assert_int_equal(r->id, ++s->events);
    return 0;
}

static int see_posting(void *ctx, const struct weir_posting *p)
{
    struct seen *s = ctx;
    assert_int_equal(p->id, ++s->postings);
    return 0;
}

static int see_total(void *ctx, const struct weir_total_row *r)
{
    struct seen *s = ctx;
    assert_int_equal(r->account, WEIR_ACCOUNT_JOB);
    s->total += r->amount_micro;
    return 0;
}

/* All that is there is whole; returns how many transactions there are. */
static uint64_t check_whole(struct weir_store *s)
{
    struct seen seen = {0};
    must(s->ops->each_live_job(s, see_job, &seen, &err));
    uint64_t before;
    do {
        uint64_t last = 0;
        bool more = false;
        before = seen.events;
        must(s->ops->list_events(s, &(struct weir_event_filter){.after = seen.events, .limit = 1000}, &last, &more, see_event, &seen, &err));
    } while (seen.events > before);
    must(s->ops->each_posting(s, 0, see_posting, &seen, &err));
    for (uint64_t id = 1; id <= seen.jobs; id++) {
        must(s->ops->get_job(s, (struct weir_job_id){id}, see_cost, &seen, &err));
    }
    must(s->ops->each_total(s, see_total, &seen, &err));
    assert_int_equal(seen.total, 7 * (int64_t)seen.postings);
    assert_int_equal(seen.events, seen.jobs);
    assert_int_equal(seen.postings, seen.jobs);
    return seen.jobs;
}

static int setup(void **state)
{
    struct scratch *d = weir_alloc(sizeof *d);
    scratch_make(d);
    fault_vfs_register();
    fault_vfs_arm(FAULT_IO, 0, false);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    scratch_free(*state);
    free(*state);
    return 0;
}

/* ---- kill -9 ---- */

/* Commits as fast as it can and tells the number of each commit that returned; never comes back. */
static void __attribute__((noreturn)) commit_until_killed(const struct scratch *d, int out)
{
    struct weir_store *s = NULL;
    if (weir_store_sqlite_open(&s, &(struct weir_store_conf){.path = d->db, .durable = true}, &err) < 0) {
        _exit(1);
    }
    uint64_t job = 0;
    uint64_t other;
    if (s->ops->max_ids(s, &job, &other, &other, &other, &other, &other, &err) < 0) {
        _exit(1);
    }
    for (uint64_t k = job + 1;; k++) {
        if (put_one(s, k, &err) < 0 || write(out, &k, sizeof k) != (ssize_t)sizeof k) {
            _exit(1);
        }
    }
}

static void a_kill_loses_no_acknowledged_commit(void **state)
{
    const struct scratch *d = *state;
    uint64_t acknowledged = 0;
    for (int round = 0; round < 12; round++) {
        int fd[2];
        assert_int_equal(pipe(fd), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)close(fd[0]);
            commit_until_killed(d, fd[1]);
        }
        (void)close(fd[1]);
        /* killed after a number of commits that differs from round to round: always in the midst of one */
        for (int i = 0; i < 20 + round * 7; i++) {
            uint64_t k = 0;
            assert_int_equal(read(fd[0], &k, sizeof k), sizeof k);
            assert_int_equal(k, acknowledged + 1);
            acknowledged = k;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        uint64_t k;
        while (read(fd[0], &k, sizeof k) == (ssize_t)sizeof k) {
            acknowledged = k;
        }
        (void)close(fd[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct weir_store *s = NULL;
        must(open_db(&s, d, NULL));
        uint64_t have = check_whole(s);
        /* the last commit may have been done without the word of it getting out */
        assert_true(have == acknowledged || have == acknowledged + 1);
        acknowledged = have;
        weir_store_close(s);
    }
}

/* ---- faults ---- */

/*
 * Opens, does 12 transactions each of which is tried again once, closes; somewhere the n-th operation fails. Then the
 * database is opened without faults: it holds every acknowledged transaction whole, and no half of one.
 */
static bool one_fault(enum fault_kind kind, unsigned n, bool sticky)
{
    struct scratch d;
    scratch_make(&d);
    fault_vfs_arm(kind, n, sticky);
    struct weir_store *s = NULL;
    uint64_t done = 0;
    int r = open_db(&s, &d, FAULT_VFS_NAME);
    if (r < 0) {
        assert_true(fault_vfs_hit());
        assert_true(err.text[0] != '\0');
        assert_true(r == -WEIR_EIO || r == -WEIR_ENOSPACE || r == -WEIR_EDENIED || r == -WEIR_ECORRUPT);
    }
    for (uint64_t k = 1; s != NULL && k <= 12; k++) {
        err.text[0] = '\0';
        r = put_one(s, k, &err);
        if (r < 0) {
            assert_true(fault_vfs_hit());
            assert_true(r == -WEIR_EIO || r == -WEIR_ENOSPACE);
            assert_true(err.text[0] != '\0');
            r = put_one(s, k, &err);
        }
        if (r < 0) {
            assert_true(sticky);
            break;
        }
        done = k;
    }
    bool hit = fault_vfs_hit();
    if (s != NULL && done > 0) {
        /* what is committed can be read whatever befell the disk */
        assert_int_equal(check_whole(s), done);
    }
    weir_store_close(s);
    fault_vfs_arm(kind, 0, false);
    s = NULL;
    must(open_db(&s, &d, NULL));
    uint64_t have = check_whole(s);
    assert_true(have == done || (sticky && have == done + 1));
    must(put_one(s, have + 1, &err));
    weir_store_close(s);
    scratch_free(&d);
    return hit;
}

static void every_fault_leaves_a_whole_store(void **state)
{
    (void)state;
    for (int kind = FAULT_IO; kind <= FAULT_FULL; kind++) {
        for (int sticky = 0; sticky <= 1; sticky++) {
            unsigned n = 1;
            while (one_fault((enum fault_kind)kind, n, sticky != 0)) {
                n++;
            }
            assert_true(n > 40); /* it was not over at once */
        }
    }
}

static void a_full_disk_is_named_and_passes(void **state)
{
    const struct scratch *d = *state;
    struct weir_store *s = NULL;
    must(open_db(&s, d, FAULT_VFS_NAME));
    must(put_one(s, 1, &err));
    fault_vfs_arm(FAULT_FULL, 1, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put_one(s, 2, &err), -WEIR_ENOSPACE);
        assert_non_null(strstr(err.text, "disk is full"));
        assert_int_equal(check_whole(s), 1);
    }
    fault_vfs_arm(FAULT_FULL, 0, false);
    must(put_one(s, 2, &err));
    assert_int_equal(check_whole(s), 2);
    weir_store_close(s);
}

/* ---- what stands in the way at opening ---- */

static void fill(const struct scratch *d, uint64_t n)
{
    struct weir_store *s = NULL;
    must(open_db(&s, d, NULL));
    for (uint64_t k = 1; k <= n; k++) {
        must(put_one(s, k, &err));
    }
    weir_store_close(s);
}

static void scribble(const char *path, off_t at, const void *p, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, at), n);
    (void)close(fd);
}

static void garbage_is_refused_by_name(void **state)
{
    const struct scratch *d = *state;
    static const char text[] = "This is not a database, but it is long enough to have been one, once upon a time, long ago.";
    scribble(d->db, 0, text, sizeof text);
    struct weir_store *s = NULL;
    assert_int_equal(open_db(&s, d, NULL), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, d->db));
    assert_non_null(strstr(err.text, "backup"));
    assert_null(s);
}

static void an_empty_file_becomes_a_database(void **state)
{
    const struct scratch *d = *state;
    scribble(d->db, 0, "", 0);
    fill(d, 1);
}

static void damage_inside_is_found(void **state)
{
    const struct scratch *d = *state;
    fill(d, 200);
    /* left uncleanly, so that it is checked: a log that is not empty */
    char wal[320];
    (void)snprintf(wal, sizeof wal, "%s-wal", d->db);
    scribble(wal, 0, "x", 1);
    unsigned char noise[2048];
    memset(noise, 0xa5, sizeof noise);
    scribble(d->db, (off_t)4096 * 20, noise, sizeof noise);
    struct weir_store *s = NULL;
    assert_int_equal(open_db(&s, d, NULL), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, d->db));
}

static void sql(const struct scratch *d, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(d->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void a_newer_version_is_refused(void **state)
{
    const struct scratch *d = *state;
    fill(d, 1);
    sql(d, "PRAGMA user_version = 99");
    struct weir_store *s = NULL;
    assert_int_equal(open_db(&s, d, NULL), -WEIR_EVERSION);
    assert_non_null(strstr(err.text, "99"));
    /* and it was not touched */
    char back[64];
    (void)snprintf(back, sizeof back, "PRAGMA user_version = %d", WEIR_STORE_SCHEMA);
    sql(d, back);
    must(open_db(&s, d, NULL));
    assert_int_equal(check_whole(s), 1);
    weir_store_close(s);
}

static void the_database_of_another_program_is_refused(void **state)
{
    const struct scratch *d = *state;
    sql(d, "CREATE TABLE theirs (x)");
    struct weir_store *s = NULL;
    assert_int_equal(open_db(&s, d, NULL), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "another program"));
}

static void two_brokers_cannot_have_one_store(void **state)
{
    const struct scratch *d = *state;
    struct weir_store *s = NULL;
    struct weir_store *other = NULL;
    must(open_db(&s, d, NULL));
    assert_int_equal(open_db(&other, d, NULL), -WEIR_EINUSE);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    weir_store_close(s);
    must(open_db(&other, d, NULL));
    weir_store_close(other);
}

static void a_directory_without_permission_is_named(void **state)
{
    const struct scratch *d = *state;
    enum { NOBODY = 65534 };
    bool root = geteuid() == 0; /* may write anywhere: become somebody who may not */
    if (root) {
        assert_int_equal(chown(d->dir, NOBODY, NOBODY), 0);
        assert_int_equal(seteuid(NOBODY), 0);
    }
    assert_int_equal(chmod(d->dir, 0500), 0);
    struct weir_store *s = NULL;
    int r = open_db(&s, d, NULL);
    assert_int_equal(chmod(d->dir, 0700), 0);
    if (root) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_int_equal(r, -WEIR_EDENIED);
    assert_non_null(strstr(err.text, d->dir));
}

static void a_path_through_a_file_is_named(void **state)
{
    const struct scratch *d = *state;
    struct scratch under = *d;
    scribble(d->db, 0, "x", 1);
    (void)snprintf(under.db, sizeof under.db, "%.200s/weir.db/x.db", d->dir);
    struct weir_store *s = NULL;
    assert_true(open_db(&s, &under, NULL) < 0);
    assert_non_null(strstr(err.text, "weir.db"));
}

static void missing_directories_are_made_for_the_owner(void **state)
{
    const struct scratch *d = *state;
    struct scratch under = *d;
    (void)snprintf(under.dir, sizeof under.dir, "%.200s/a", d->dir);
    (void)snprintf(under.db, sizeof under.db, "%.200s/a/weir.db", d->dir);
    struct weir_store *s = NULL;
    must(open_db(&s, &under, NULL));
    weir_store_close(s);
    struct stat st;
    assert_int_equal(stat(under.dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    scratch_free(&under);
}

/* ---- upgrades ---- */

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        fail_msg("%s cannot be opened", from);
    }
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    char buf[65536];
    ssize_t n;
    while ((n = read(in, buf, sizeof buf)) > 0) {
        assert_int_equal(write(out, buf, (size_t)n), n);
    }
    (void)close(in);
    (void)close(out);
}

/* tests/regress/db/ keeps a database of every schema version that was released, made by put_one. */
static void databases_of_every_version_load(void **state)
{
    const struct scratch *d = *state;
    for (int v = 1; v <= WEIR_STORE_SCHEMA; v++) {
        char name[512];
        (void)snprintf(name, sizeof name, "%s/schema-%d.db", WEIR_TEST_DB_DIR, v);
        copy_file(name, d->db);
        struct weir_store *s = NULL;
        must(open_db(&s, d, NULL));
        assert_int_equal(check_whole(s), 3);
        must(put_one(s, 4, &err));
        weir_store_close(s);
    }
}

/* ---- a bill with more rows than are held in memory ---- */

static int count_row(void *ctx, const struct weir_bill_row *r)
{
    struct seen *s = ctx;
    if (r->key[0][0] != '\0') {
        char want[24];
        (void)snprintf(want, sizeof want, "%llu", (unsigned long long)++s->jobs);
        assert_string_equal(r->key[0], want); /* in order of number */
    }
    s->costs += (uint64_t)r->total_micro;
    s->energy_mj += r->footprint.energy_mj;
    s->unknown_micro += r->footprint.unknown_micro;
    return 0;
}

static void a_large_bill_spills_to_disk(void **state)
{
    const struct scratch *d = *state;
    enum { JOBS = 70000 };
    struct weir_store *s = NULL;
    struct weir_store *reader = NULL;
    must(open_db(&s, d, NULL));
    must(s->ops->begin(s, &err));
    for (uint64_t i = 1; i <= 2 * JOBS; i++) {
        struct weir_posting p = sample_posting(i, i <= JOBS ? i : 2 * JOBS + 1 - i, T0 + (int64_t)i, T0 + (int64_t)i + 3);
        must(s->ops->put_posting(s, &p, &err));
    }
    must(s->ops->commit(s, &err));
    must(weir_store_reader(s, &reader, &err));
    struct weir_bill_filter f = {.to = {INT64_MAX}};
    enum weir_bill_by by = WEIR_BILL_BY_JOB;
    for (int round = 0; round < 2; round++) {
        struct seen seen = {0};
        must(reader->ops->bill(reader, &f, &by, NULL, 1, count_row, &seen, &err));
        assert_int_equal(seen.jobs, JOBS);
        assert_int_equal(seen.costs, 2 * JOBS * 3);
        assert_int_equal(seen.energy_mj, 2 * JOBS * 9);
        assert_int_equal(seen.unknown_micro, 2 * JOBS / 3 * 3); /* every third */
    }
    weir_store_close(reader);
    weir_store_close(s);
}

/* ---- pages of the ledger ---- */

enum { PAGE = WEIR_LEDGER_PAGE_ROWS };

/* Postings from..until - 1, over a few months, jobs, nodes and projects; in transactions of so many. */
static void put_ledger(struct weir_store *s, uint64_t from, uint64_t until, uint64_t each)
{
    for (uint64_t i = from; i < until; i++) {
        struct weir_posting p = sample_posting(i, i % 977, T0 + (int64_t)i * 977000000, T0 + (int64_t)(i + i % 5) * 977000000);
        p.node.v = i % 31;
        p.project.v = (uint32_t)(i % 7);
        p.user.v = (uint32_t)(i % 11);
        p.lease.v = i % 13;
        p.rule = i % 17 == 0 ? i % 4 : 0;
        p.debit = (uint8_t)(i % 3 == 0 ? WEIR_ACCOUNT_IDLE : WEIR_ACCOUNT_JOB);
        p.at.us = T0 + (int64_t)(i + 5) * 977000000;
        if ((i - from) % each == 0) {
            must(s->ops->begin(s, &err));
        }
        must(s->ops->put_posting(s, &p, &err));
        if ((i - from) % each == each - 1 || i + 1 == until) {
            must(s->ops->commit(s, &err));
        }
    }
}

static uint64_t pages(const struct scratch *d, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(d->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    uint64_t n = sqlite3_step(st) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return n;
}

static const char COUNT_PAGES[] = "SELECT count(*) FROM posting_page";

static int add_row(void *ctx, const struct weir_bill_row *r)
{
    struct weir_str *text = ctx;
    weir_str_addf(text, "%s %s %llu %lld %lld %lld %lld %lld %lld %lld %lld\n", r->key[0], r->key[1], (unsigned long long)r->gpu_us,
                  (long long)r->used_micro, (long long)r->idle_micro, (long long)r->total_micro, (long long)r->footprint.energy_mj,
                  (long long)r->footprint.carbon_ug, (long long)r->footprint.unknown_micro, (long long)r->idle_energy_mj,
                  (long long)r->idle_carbon_ug);
    return 0;
}

static int add_billed(void *ctx, const struct weir_posting *p)
{
    struct weir_str *text = ctx;
    weir_str_addf(text, "%llu %lld-%lld %llu/%llu/%u %u %u %lld %llu %u %u %llu %llu %lld %lld %d\n", (unsigned long long)p->id, (long long)p->from.us, (long long)p->to.us,
                  (unsigned long long)p->node.v, (unsigned long long)p->lease.v, p->pool.v, p->debit, p->credit, (long long)p->amount_micro,
                  (unsigned long long)p->gpu_us, p->project.v, p->user.v, (unsigned long long)p->run.task.job.v, (unsigned long long)p->rule,
                  (long long)p->energy_mj, (long long)p->carbon_ug, p->carbon_unknown);
    return 0;
}

/* Bills of many kinds, and what ratings read, as text. */
static char *bills(struct weir_store *s)
{
    static const enum weir_bill_by by[][2] = {{WEIR_BILL_BY_PROJECT, WEIR_BILL_BY_USER}, {WEIR_BILL_BY_DAY, WEIR_BILL_BY_PROJECT}, {WEIR_BILL_BY_MONTH, WEIR_BILL_BY_NODE}, {WEIR_BILL_BY_JOB, WEIR_BILL_BY_POOL}};
    struct weir_str text = WEIR_STR_INIT(16 << 20);
    const int64_t end = T0 + INT64_C(12000) * 977000000;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(by); i++) {
        for (int64_t k = 0; k < 4; k++) {
            struct weir_bill_filter f = {.from = {T0 + (end - T0) / 4 * k - 1}, .to = {k == 3 ? INT64_MAX : T0 + (end - T0) / 3 * (k + 1) + 7}};
            must(s->ops->bill(s, &f, by[i], NULL, 2, add_row, &text, &err));
        }
    }
    must(s->ops->each_billed(s, (struct weir_wall){0}, add_billed, &text, &err));
    char *copy = weir_strdup(weir_str_cstr(&text));
    weir_str_release(&text);
    return copy;
}

/* However the postings came, bills of them are those of a store without pages, and the pages are proven. */
static void assert_bills(struct weir_store *s, uint64_t n)
{
    struct weir_store *plain = NULL;
    must(weir_store_mem_open(&plain, &err));
    put_ledger(plain, 1, n + 1, n);
    WEIR_CLEANUP(weir_freep) char *want = bills(plain);
    WEIR_CLEANUP(weir_freep) char *got = bills(s);
    assert_string_equal(got, want);
    weir_store_close(plain);
}

/* Up to which posting pages are proven. */
static uint64_t proven(struct weir_store *s)
{
    uint64_t upto = 0;
    for (uint64_t last = 0;;) {
        must(s->ops->prove_pages(s, last, &last, &err));
        if (last == 0) {
            return upto;
        }
        upto = last;
    }
}

static void bills_over_pages_are_those_over_rows(void **state)
{
    const struct scratch *d = *state;
    static const uint64_t each[] = {1000, PAGE, 12000};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(each); i++) {
        struct weir_store *s = NULL;
        struct weir_store *reader = NULL;
        must(open_db(&s, d, NULL));
        put_ledger(s, 1, 12001, each[i]);
        must(weir_store_reader(s, &reader, &err));
        assert_int_equal(pages(d, COUNT_PAGES), 12000 / PAGE);
        assert_int_equal(proven(reader), 12000 / PAGE * PAGE);
        assert_bills(reader, 12000);
        weir_store_close(reader);
        weir_store_close(s);
        assert_int_equal(unlink(d->db), 0);
    }
}

/* A transaction that is rolled back takes its page with it; what an older weir has left is made up for. */
static void pages_follow_what_is_committed(void **state)
{
    const struct scratch *d = *state;
    struct weir_store *s = NULL;
    must(open_db(&s, d, NULL));
    put_ledger(s, 1, PAGE, 500);
    assert_int_equal(pages(d, COUNT_PAGES), 0);
    must(s->ops->begin(s, &err));
    struct weir_posting p = sample_posting(PAGE, 1, T0, T0 + 1);
    must(s->ops->put_posting(s, &p, &err));
    s->ops->rollback(s);
    assert_int_equal(pages(d, COUNT_PAGES), 0);
    put_ledger(s, PAGE, 12001, 500);
    assert_int_equal(pages(d, COUNT_PAGES), 12000 / PAGE);
    weir_store_close(s);
    (void)pages(d, "DELETE FROM posting_page WHERE last > 3000");
    must(open_db(&s, d, NULL));
    assert_int_equal(pages(d, COUNT_PAGES), 1);
    assert_bills(s, 12000);
    put_ledger(s, 12001, 12002, 1);
    assert_int_equal(pages(d, COUNT_PAGES), 12000 / PAGE);
    assert_int_equal(proven(s), 12000 / PAGE * PAGE);
    assert_bills(s, 12001);
    weir_store_close(s);
}

static void pages_that_differ_from_the_ledger_are_found(void **state)
{
    const struct scratch *d = *state;
    static const char *const harm[] = {
        "UPDATE posting SET amount_micro = amount_micro + 1 WHERE id = 3000",
        "DELETE FROM posting WHERE id = 3000",
        "UPDATE posting_page SET packed = substr(packed, 1, 1000) WHERE last > 3000 AND last < 5000",
        "UPDATE posting_page SET packed = zeroblob(9000000) WHERE last > 3000 AND last < 5000",
        "UPDATE posting_page SET packed = (SELECT packed FROM posting_page ORDER BY last LIMIT 1) WHERE last > 3000 AND last < 5000",
        "DELETE FROM posting_page WHERE last > 3000 AND last < 5000",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(harm); i++) {
        struct weir_store *s = NULL;
        must(open_db(&s, d, NULL));
        put_ledger(s, 1, 6145, 3000);
        (void)pages(d, harm[i]);
        uint64_t last = 0;
        must(s->ops->prove_pages(s, 0, &last, &err));
        assert_int_equal(last, PAGE);
        assert_int_equal(s->ops->prove_pages(s, last, &last, &err), -WEIR_ECORRUPT);
        assert_non_null(strstr(err.text, "of postings 2049 to"));
        assert_non_null(strstr(err.text, "made again"));
        weir_store_close(s);
        assert_int_equal(unlink(d->db), 0);
    }
}

/* The transaction that fills a page fails at its n-th operation: then neither its postings nor the page are there. */
static void a_fault_at_a_page_leaves_a_whole_ledger(void **state)
{
    (void)state;
    bool hit = true;
    for (unsigned n = 1; hit; n++) {
        struct scratch d;
        scratch_make(&d);
        struct weir_store *s = NULL;
        must(open_db(&s, &d, FAULT_VFS_NAME));
        put_ledger(s, 1, PAGE, PAGE);
        fault_vfs_arm(FAULT_IO, n, false);
        must(s->ops->begin(s, &err));
        for (uint64_t i = PAGE; i < PAGE + 10; i++) {
            struct weir_posting p = sample_posting(i, i, T0 + (int64_t)i * 977000000, T0 + (int64_t)i * 977000000 + 1);
            p.at.us += INT64_C(5) * 977000000;
            (void)s->ops->put_posting(s, &p, &err);
        }
        bool failed = s->ops->commit(s, &err) < 0;
        hit = fault_vfs_hit();
        fault_vfs_arm(FAULT_IO, 0, false);
        assert_int_equal(pages(&d, COUNT_PAGES), failed ? 0 : 1);
        assert_int_equal(pages(&d, "SELECT count(*) FROM posting"), failed ? PAGE - 1 : PAGE + 9);
        if (failed) {
            put_ledger(s, PAGE, PAGE + 10, 10);
            assert_bills(s, PAGE + 9);
        }
        assert_int_equal(proven(s), PAGE);
        weir_store_close(s);
        scratch_free(&d);
        assert_true(hit || n > 5);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* "test_sqlite make FILE" makes the database that tests/regress/db/ keeps of the present version. */
int main(int argc, char **argv)
{
    if (argc == 3 && weir_streq(argv[1], "make")) {
        struct scratch d = {{0}, {0}};
        (void)snprintf(d.db, sizeof d.db, "%s", argv[2]);
        fill(&d, 3);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        CASE(a_kill_loses_no_acknowledged_commit),
        CASE(every_fault_leaves_a_whole_store),
        CASE(a_full_disk_is_named_and_passes),
        CASE(garbage_is_refused_by_name),
        CASE(an_empty_file_becomes_a_database),
        CASE(damage_inside_is_found),
        CASE(a_newer_version_is_refused),
        CASE(the_database_of_another_program_is_refused),
        CASE(two_brokers_cannot_have_one_store),
        CASE(a_directory_without_permission_is_named),
        CASE(a_path_through_a_file_is_named),
        CASE(missing_directories_are_made_for_the_owner),
        CASE(databases_of_every_version_load),
        CASE(a_large_bill_spills_to_disk),
        CASE(bills_over_pages_are_those_over_rows),
        CASE(pages_follow_what_is_committed),
        CASE(pages_that_differ_from_the_ledger_are_found),
        CASE(a_fault_at_a_page_leaves_a_whole_ledger),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
