/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite back end: opening, locking, migrating, transactions. WAL mode; with durable set every commit
 * is synced (synchronous = FULL: NORMAL would lose the last commits with the power).
 */

#include "store/sqlite_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    BUSY_TIMEOUT_MS = 5000,
    /* a database up to this size is checked in full after an unclean end: about a second */
    QUICK_CHECK_BYTES_MAX = 64 * 1024 * 1024,
};

static const char SQL_BEGIN[] = "BEGIN IMMEDIATE";
static const char SQL_COMMIT[] = "COMMIT";
static const char SQL_ROLLBACK[] = "ROLLBACK";
static const char SQL_IS_EMPTY[] = "SELECT count(*) FROM sqlite_schema";
static const char SQL_APPLICATION_ID[] = "PRAGMA application_id";
static const char SQL_USER_VERSION[] = "PRAGMA user_version";
static const char SQL_QUICK_CHECK[] = "PRAGMA quick_check(1)";

/* Not durable only for tests: a process may die at any moment, a machine may not. */
static const char SQL_CONF_WRITER[] = "PRAGMA journal_mode = WAL;"
                                      "PRAGMA foreign_keys = OFF;"
                                      "PRAGMA secure_delete = OFF;"
                                      "PRAGMA cache_size = -65536;"
                                      "PRAGMA wal_autocheckpoint = 4000;"
                                      "PRAGMA journal_size_limit = 67108864;"
                                      "PRAGMA temp_store = FILE;";
static const char SQL_CONF_READER[] = "PRAGMA query_only = ON;"
                                      "PRAGMA cache_size = -16384;"
                                      "PRAGMA temp_store = FILE;";
static const char SQL_SYNC_FULL[] = "PRAGMA synchronous = FULL";
static const char SQL_SYNC_OFF[] = "PRAGMA synchronous = OFF";

/* ---- small verbs ---- */

static int code_of(struct sq_store *s, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -WEIR_ENOSPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
        return -WEIR_ECORRUPT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return -WEIR_EDENIED;
    case SQLITE_CANTOPEN: {
        int e = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
        return e == EACCES || e == EPERM || e == EROFS ? -WEIR_EDENIED : -WEIR_EIO;
    }
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -WEIR_EINUSE;
    case SQLITE_CONSTRAINT:
        return -WEIR_EEXISTS;
    case SQLITE_NOMEM:
        return -WEIR_ENOMEM;
    case SQLITE_TOOBIG:
        return -WEIR_ELIMIT;
    case SQLITE_IOERR: {
        int e = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
        return e == ENOSPC || e == EDQUOT ? -WEIR_ENOSPACE : -WEIR_EIO;
    }
    default:
        return -WEIR_EIO;
    }
}

static const char *remedy_of(int code)
{
    switch (code) {
    case -WEIR_ENOSPACE:
        return "; the disk is full: free some space and try again";
    case -WEIR_ECORRUPT:
        return "; the file is damaged: move it away and restore a backup, or save what can be read with "
               "'sqlite3 FILE .recover'";
    case -WEIR_EDENIED:
        return "; check the owner and the permissions of the file and its directory";
    default:
        return "";
    }
}

int sq_fail(struct sq_store *s, int rc, const char *what, struct weir_err *err)
{
    int code = code_of(s, rc);
    struct weir_err e;
    (void)weir_fail(&e, code, "database '%s': %s: %s%s", s->path, what,
                    s->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(s->db), remedy_of(code));
    if (s->in_tx && s->tx_failed == 0) {
        s->tx_failed = code;
        s->tx_err = e;
    }
    if (err != NULL) {
        *err = e;
    }
    return code;
}

sqlite3_stmt *sq_stmt(struct sq_store *s, enum sq_slot slot, const char *sql, int *ret_r, struct weir_err *err)
{
    sqlite3_stmt *st = s->stmt[slot];
    if (st == NULL) {
        int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
        if (rc != SQLITE_OK) {
            *ret_r = sq_fail(s, rc, "prepare", err);
            return NULL;
        }
        s->stmt[slot] = st;
    } else if (sqlite3_stmt_busy(st)) {
        /* a callback of a scan may not start the same scan again */
        *ret_r = weir_fail(err, -WEIR_ECONFLICT, "database '%s': the same query is already running", s->path);
        return NULL;
    }
    return st;
}

sqlite3_stmt *sq_write_stmt(struct sq_store *s, enum sq_slot slot, const char *sql, int *ret_r, struct weir_err *err)
{
    WEIR_ASSERT(s->writer);
    WEIR_ASSERT(s->in_tx);
    if (s->tx_failed != 0) {
        if (err != NULL) {
            *err = s->tx_err;
        }
        *ret_r = s->tx_failed;
        return NULL;
    }
    return sq_stmt(s, slot, sql, ret_r, err);
}

int sq_run(struct sq_store *s, sqlite3_stmt *st, const char *what, struct weir_err *err)
{
    int rc = sqlite3_step(st);
    int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sq_fail(s, rc, what, err);
    (void)sqlite3_reset(st);
    return r;
}

int sq_row(struct sq_store *s, sqlite3_stmt *st, const char *what, struct weir_err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : sq_fail(s, rc, what, err);
}

void sc_copy(struct sq_col *c, char *buf, size_t size)
{
    const char *p = sc_s(c);
    size_t n = strlen(p);
    if (n >= size) {
        n = size - 1;
    }
    memcpy(buf, p, n);
    memset(buf + n, 0, size - n);
}

size_t sq_ints_read(const char *text, int64_t *ret, size_t max)
{
    size_t n = 0;
    const char *p = text;
    while (n < max && *p != '\0') {
        bool negative = *p == '-';
        if (negative) {
            p++;
        }
        if (*p < '0' || *p > '9') {
            p++;
            continue;
        }
        uint64_t v = 0;
        for (; *p >= '0' && *p <= '9'; p++) {
            v = v * 10 + (uint64_t)(*p - '0');
        }
        ret[n++] = negative ? (int64_t)(0 - v) : (int64_t)v;
    }
    return n;
}

void sq_ints_write(struct weir_str *out, const int64_t *v, size_t n)
{
    weir_str_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            weir_str_addc(out, ',');
        }
        weir_str_add_i64(out, v[i]);
    }
    weir_str_addc(out, ']');
}

/* ---- transactions ---- */

int weir_sq_begin(struct weir_store *base, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    WEIR_ASSERT(s->writer);
    WEIR_ASSERT(!s->in_tx);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_BEGIN, SQL_BEGIN, &r, err);
    if (st == NULL) {
        return r;
    }
    r = sq_run(s, st, "begin", err);
    if (r < 0) {
        return r;
    }
    s->in_tx = true;
    s->tx_failed = 0;
    s->n_postings = 0;
    weir_sq_forget_costs(s);
    return 0;
}

void weir_sq_rollback(struct weir_store *base)
{
    struct sq_store *s = sq_of(base);
    if (!s->in_tx) {
        return;
    }
    s->in_tx = false;
    s->tx_failed = 0;
    s->paged = UINT64_MAX;
    weir_sq_forget_costs(s);
    /* SQLite has already rolled back by itself after some failures */
    if (!sqlite3_get_autocommit(s->db)) {
        int r = 0;
        sqlite3_stmt *st = sq_stmt(s, SQ_ROLLBACK, SQL_ROLLBACK, &r, NULL);
        if (st != NULL) {
            (void)sq_run(s, st, "rollback", NULL);
        }
    }
}

int weir_sq_commit(struct weir_store *base, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    WEIR_ASSERT(s->in_tx);
    int r = s->tx_failed;
    if (r < 0 && err != NULL) {
        *err = s->tx_err;
    }
    if (r == 0) {
        r = weir_sq_apply_costs(s, err);
    }
    if (r == 0) {
        r = weir_sq_put_pages(s, err);
    }
    if (r == 0) {
        sqlite3_stmt *st = sq_write_stmt(s, SQ_COMMIT, SQL_COMMIT, &r, err);
        if (st != NULL) {
            r = sq_run(s, st, "commit", err);
        }
    }
    if (r < 0) {
        weir_sq_rollback(base);
        return r;
    }
    s->in_tx = false;
    weir_sq_forget_costs(s);
    return 0;
}

/* ---- opening ---- */

static const struct weir_store_ops ops = {
    .name = "sqlite",
    .close = weir_sq_close,
    .reader = weir_sq_reader,
    .begin = weir_sq_begin,
    .commit = weir_sq_commit,
    .rollback = weir_sq_rollback,
    .put_meta = weir_sq_put_meta,
    .put_project = weir_sq_put_project,
    .put_user = weir_sq_put_user,
    .put_pool = weir_sq_put_pool,
    .put_payer = weir_sq_put_payer,
    .put_budget = weir_sq_put_budget,
    .delete_budget = weir_sq_delete_budget,
    .put_quota = weir_sq_put_quota,
    .delete_quota = weir_sq_delete_quota,
    .put_shape = weir_sq_put_shape,
    .mark_shape = weir_sq_mark_shape,
    .put_job = weir_sq_put_job,
    .update_job = weir_sq_update_job,
    .put_task = weir_sq_put_task,
    .put_node = weir_sq_put_node,
    .put_lease = weir_sq_put_lease,
    .put_hold = weir_sq_put_hold,
    .put_posting = weir_sq_put_posting,
    .put_correction = weir_sq_put_correction,
    .put_close = weir_sq_put_close,
    .put_rule = weir_sq_put_rule,
    .put_lease_price = weir_sq_put_lease_price,
    .put_invoice_line = weir_sq_put_invoice_line,
    .put_meter = weir_sq_put_meter,
    .put_explain = weir_sq_put_explain,
    .put_event = weir_sq_put_event,
    .put_effect = weir_sq_put_effect,
    .done_effect = weir_sq_done_effect,
    .put_token = weir_sq_put_token,
    .delete_token = weir_sq_delete_token,
    .put_access = weir_sq_put_access,
    .delete_access = weir_sq_delete_access,
    .put_document = weir_sq_put_document,
    .delete_document = weir_sq_delete_document,
    .put_audit = weir_sq_put_audit,
    .put_runtime = weir_sq_put_runtime,
    .prune = weir_sq_prune,
    .get_meta = weir_sq_get_meta,
    .each_project = weir_sq_each_project,
    .each_user = weir_sq_each_user,
    .each_pool = weir_sq_each_pool,
    .each_payer = weir_sq_each_payer,
    .each_budget = weir_sq_each_budget,
    .each_quota = weir_sq_each_quota,
    .each_shape = weir_sq_each_shape,
    .each_live_job = weir_sq_each_live_job,
    .each_live_task = weir_sq_each_live_task,
    .each_node = weir_sq_each_node,
    .each_lease = weir_sq_each_lease,
    .each_hold = weir_sq_each_hold,
    .each_meter = weir_sq_each_meter,
    .each_effect = weir_sq_each_effect,
    .each_token = weir_sq_each_token,
    .each_access = weir_sq_each_access,
    .each_document = weir_sq_each_document,
    .each_runtime = weir_sq_each_runtime,
    .each_posting = weir_sq_each_posting,
    .each_billed = weir_sq_each_billed,
    .each_correction = weir_sq_each_correction,
    .each_close = weir_sq_each_close,
    .each_rule = weir_sq_each_rule,
    .each_lease_price = weir_sq_each_lease_price,
    .get_lease = weir_sq_get_lease,
    .each_invoice_line = weir_sq_each_invoice_line,
    .first_posting = weir_sq_first_posting,
    .each_total = weir_sq_each_total,
    .run_posted = weir_sq_run_posted,
    .max_ids = weir_sq_max_ids,
    .get_job = weir_sq_get_job,
    .get_task = weir_sq_get_task,
    .list_jobs = weir_sq_list_jobs,
    .list_tasks = weir_sq_list_tasks,
    .count_nodes = weir_sq_count_nodes,
    .list_events = weir_sq_list_events,
    .list_audit = weir_sq_list_audit,
    .first_event = weir_sq_first_event,
    .list_explains = weir_sq_list_explains,
    .bill = weir_sq_bill,
    .prove_pages = weir_sq_prove_pages,
};

static struct sq_store *store_new(const char *path, const char *vfs)
{
    struct sq_store *s = weir_alloc(sizeof *s);
    s->base.ops = &ops;
    s->lock_fd = -1;
    s->paged = UINT64_MAX;
    s->path = weir_strdup(path);
    s->vfs = vfs == NULL ? NULL : weir_strdup(vfs);
    return s;
}

void weir_sq_close(struct weir_store *base)
{
    struct sq_store *s = sq_of(base);
    int e = errno;
    if (s->db != NULL) {
        weir_sq_rollback(base);
        for (size_t i = 0; i < SQ_SLOT_MAX; i++) {
            (void)sqlite3_finalize(s->stmt[i]);
        }
        (void)sqlite3_close_v2(s->db);
    }
    if (s->lock_fd >= 0) {
        (void)close(s->lock_fd);
    }
    weir_vec_release(&s->cost);
    weir_vec_release(&s->total);
    weir_map_release(&s->total_at);
    free(s->path);
    free(s->vfs);
    free(s);
    errno = e;
}

static void closep(struct sq_store **s)
{
    if (*s != NULL) {
        weir_sq_close(&(*s)->base);
    }
}

static int exec(struct sq_store *s, const char *sql, const char *what, struct weir_err *err)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sq_fail(s, rc, what, err);
}

static int query_i64(struct sq_store *s, const char *sql, int64_t *ret, struct weir_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return sq_fail(s, rc, "open", err);
    }
    int r = sq_row(s, st, "open", err);
    if (r > 0) {
        *ret = sqlite3_column_int64(st, 0);
        r = 0;
    }
    (void)sqlite3_finalize(st);
    return r;
}

/* Makes the directories above path that are missing, for the owner alone. */
static int make_directory(const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *dir = weir_strdup(path);
    for (char *p = dir + 1; *p != '\0'; p++) {
        if (*p != '/') {
            continue;
        }
        *p = '\0';
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
            int code = weir_error_from_errno(errno);
            return weir_fail(err, code, "directory '%s' for the database cannot be made: %s", dir, strerror(errno));
        }
        *p = '/';
    }
    return 0;
}

static int take_lock(struct sq_store *s, struct weir_err *err)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof name, "%s.lock", s->path);
    if (n < 0 || (size_t)n >= sizeof name) {
        return weir_fail(err, -WEIR_EINVAL, "database path '%.64s...' is too long", s->path);
    }
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        int code = weir_error_from_errno(errno);
        return weir_fail(err, code, "lock file '%s' cannot be opened: %s", name, strerror(errno));
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            return weir_fail(err, -WEIR_EIO, "lock file '%s' cannot be locked: %s", name, strerror(errno));
        }
        char pid[16] = "";
        ssize_t got = pread(s->lock_fd, pid, sizeof pid - 1, 0);
        pid[got < 0 ? 0 : got] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        return weir_fail(err, -WEIR_EINUSE,
                         "database '%s' is in use by another broker%s%s: stop that one, or use another --data directory",
                         s->path, pid[0] == '\0' ? "" : ", process ", pid);
    }
    /* only for the message above: a full disk does not matter here */
    char pid[16];
    n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) == 0 && n > 0) {
        (void)!pwrite(s->lock_fd, pid, (size_t)n, 0);
    }
    return 0;
}

static int migrate(struct sq_store *s, int64_t version, struct weir_err *err)
{
    for (int64_t v = version; v < WEIR_STORE_SCHEMA; v++) {
        char sql[96];
        (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64,
                       (int)WEIR_SQLITE_APPLICATION_ID, v + 1);
        int r = exec(s, SQL_BEGIN, "migrate", err);
        for (size_t i = 0; r == 0 && weir_sqlite_migrations[v][i] != NULL; i++) {
            r = exec(s, weir_sqlite_migrations[v][i], "migrate", err);
        }
        if (r == 0) {
            r = exec(s, sql, "migrate", err);
        }
        if (r == 0) {
            r = exec(s, SQL_COMMIT, "migrate", err);
        }
        if (r < 0) {
            if (!sqlite3_get_autocommit(s->db)) {
                (void)exec(s, SQL_ROLLBACK, "migrate", NULL);
            }
            return weir_fail_prefix(err, r, "to version %" PRId64, v + 1);
        }
    }
    return 0;
}

/* Is the file ours, and of a version that this program knows? */
static int check_identity(struct sq_store *s, int64_t *ret_version, struct weir_err *err)
{
    int64_t objects = 0;
    int64_t application = 0;
    int64_t version = 0;
    int r = query_i64(s, SQL_IS_EMPTY, &objects, err);
    if (r == 0) {
        r = query_i64(s, SQL_APPLICATION_ID, &application, err);
    }
    if (r == 0) {
        r = query_i64(s, SQL_USER_VERSION, &version, err);
    }
    if (r < 0) {
        return r;
    }
    if (objects > 0 && application != WEIR_SQLITE_APPLICATION_ID) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "'%s' is a database of another program: name another file, or move it away", s->path);
    }
    if (version > WEIR_STORE_SCHEMA) {
        return weir_fail(err, -WEIR_EVERSION,
                         "database '%s' has schema version %" PRId64 ", made by a newer weir; this one (%s) knows up to %d: "
                         "run the newer weir, or restore the backup from before the upgrade",
                         s->path, version, WEIR_VERSION, (int)WEIR_STORE_SCHEMA);
    }
    if (version < 0 || (objects > 0 && version == 0)) {
        return weir_fail(err, -WEIR_ECORRUPT, "database '%s' has no valid schema version%s", s->path,
                         remedy_of(-WEIR_ECORRUPT));
    }
    *ret_version = version;
    return 0;
}

static int quick_check(struct sq_store *s, struct weir_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, SQL_QUICK_CHECK, -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return sq_fail(s, rc, "check", err);
    }
    int r = sq_row(s, st, "check", err);
    if (r > 0) {
        struct sq_col c = {st, 0};
        const char *text = sc_s(&c);
        r = weir_streq(text, "ok") ? 0
                                   : weir_fail(err, -WEIR_ECORRUPT, "database '%s': %.200s%s", s->path, text,
                                               remedy_of(-WEIR_ECORRUPT));
    }
    (void)sqlite3_finalize(st);
    return r;
}

static int connect_db(struct sq_store *s, int flags, struct weir_err *err)
{
    int rc = sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, s->vfs);
    if (rc != SQLITE_OK) {
        return sq_fail(s, rc, "open", err);
    }
    (void)sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    return 0;
}

/* Was the file left with a write-ahead log that nobody had folded in? And is a check of it cheap? */
static bool wants_check(const char *path)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof name, "%s-wal", path);
    struct stat wal;
    struct stat file;
    return n > 0 && (size_t)n < sizeof name && stat(name, &wal) == 0 && wal.st_size > 0 && stat(path, &file) == 0 &&
           file.st_size + wal.st_size <= QUICK_CHECK_BYTES_MAX;
}

int weir_store_sqlite_open(struct weir_store **ret, const struct weir_store_conf *conf, struct weir_err *err)
{
    WEIR_CLEANUP(closep) struct sq_store *s = store_new(conf->path, conf->vfs);
    s->writer = true;
    int r = make_directory(s->path, err);
    if (r == 0) {
        r = take_lock(s, err);
    }
    if (r < 0) {
        return r;
    }
    bool check = wants_check(s->path);
    r = connect_db(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
    int64_t version = 0;
    if (r == 0) {
        r = check_identity(s, &version, err);
    }
    if (r == 0) {
        r = exec(s, SQL_CONF_WRITER, "configure", err);
    }
    if (r == 0) {
        r = exec(s, conf->durable ? SQL_SYNC_FULL : SQL_SYNC_OFF, "configure", err);
    }
    if (r == 0 && check) {
        r = quick_check(s, err);
    }
    if (r == 0) {
        r = migrate(s, version, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = &WEIR_TAKE(s)->base;
    return 0;
}

int weir_sq_reader(struct weir_store *base, struct weir_store **ret, struct weir_err *err)
{
    struct sq_store *w = sq_of(base);
    WEIR_CLEANUP(closep) struct sq_store *s = store_new(w->path, w->vfs);
    int r = connect_db(s, SQLITE_OPEN_READWRITE, err);
    if (r == 0) {
        r = exec(s, SQL_CONF_READER, "configure", err);
    }
    if (r < 0) {
        return r;
    }
    *ret = &WEIR_TAKE(s)->base;
    return 0;
}

/* ---- reading what a broker left ---- */

static bool has_wal(const char *path)
{
    char name[PATH_MAX];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s-wal", path);
    return n > 0 && (size_t)n < sizeof name && stat(name, &st) == 0 && st.st_size > 0;
}

/* Keeps brokers away; false where one is there, or where that cannot be known. Where there is no lock, none ever was. */
static bool take_shared_lock(struct sq_store *s)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof name, "%s.lock", s->path);
    s->lock_fd = n < 0 || (size_t)n >= sizeof name ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    return s->lock_fd < 0 ? errno == ENOENT : flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0;
}

/* As SQLite wants a file's name in a URI. */
static void uri_of(const char *path, bool immutable, struct weir_str *out)
{
    weir_str_adds(out, "file:");
    for (const char *p = path; *p != '\0'; p++) {
        weir_str_addf(out, strchr("%?#", *p) != NULL ? "%%%02X" : "%c", (unsigned char)*p);
    }
    weir_str_adds(out, immutable ? "?mode=ro&immutable=1" : "?mode=ro");
}

/* Puts a copy in the place of the database: temporary, and gone when it is closed. */
static int copy_db(struct sq_store *s, struct weir_err *err)
{
    sqlite3 *from = s->db;
    s->db = NULL;
    int rc = sqlite3_open_v2("", &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    sqlite3_backup *b = rc == SQLITE_OK ? sqlite3_backup_init(s->db, "main", from, "main") : NULL;
    if (b != NULL) {
        (void)sqlite3_backup_step(b, -1);
        rc = sqlite3_backup_finish(b);
    } else if (rc == SQLITE_OK) {
        rc = sqlite3_errcode(s->db);
    }
    int r = rc == SQLITE_OK ? 0 : sq_fail(s, rc, "copy", err);
    (void)sqlite3_close_v2(from);
    return r;
}

int weir_store_sqlite_read(struct weir_store **ret, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(closep) struct sq_store *s = store_new(path, NULL);
    WEIR_CLEANUP(weir_str_release) struct weir_str uri = WEIR_STR_INIT(4 * PATH_MAX);
    struct stat st;
    int64_t version = 0;
    if (stat(path, &st) < 0) {
        return weir_fail(err, weir_error_from_errno(errno), "database '%s': %s", path, strerror(errno));
    }
    uri_of(path, take_shared_lock(s) && !has_wal(path), &uri);
    int rc = sqlite3_open_v2(weir_str_cstr(&uri), &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    int r = rc == SQLITE_OK ? 0 : sq_fail(s, rc, "open", err);
    if (r == 0) {
        (void)sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        r = check_identity(s, &version, err);
    }
    if (r == 0 && version == 0) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "database '%s' is empty", path);
    }
    if (r == 0 && version < WEIR_STORE_SCHEMA) {
        r = copy_db(s, err);
        r = r < 0 ? r : migrate(s, version, err);
    }
    r = r < 0 ? r : exec(s, SQL_CONF_READER, "configure", err);
    if (r < 0) {
        return r;
    }
    *ret = &WEIR_TAKE(s)->base;
    return 0;
}
