/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/parse.h"

static const char record_file[] = "record.jsonl";
static const char stop_file[] = "stop";

#define STOP_GRACE_MS_MAX ((INT64_C(1) << 40) - 1) /* 34 years */

bool weir_path_join(char buf[static WEIR_PATH_SIZE], const char *dir, const char *name)
{
    int n = snprintf(buf, WEIR_PATH_SIZE, "%s/%s", dir, name);
    return n > 0 && n < WEIR_PATH_SIZE;
}

/* One write, so that a kill leaves a whole line or none. */
static int add_line(int fd, const struct weir_str *line)
{
    if (line->overflowed) {
        return -WEIR_ELIMIT;
    }
    ssize_t n = write(fd, weir_str_cstr(line), line->n);
    return n == (ssize_t)line->n ? 0 : n < 0 ? weir_error_from_errno(errno) : -WEIR_ENOSPACE;
}

static void write_start(const struct weir_record_start *s, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_run_id_write(&j, "run", s->run);
    weir_json_kv_u64(&j, "rank", s->rank);
    weir_json_kv_cstr(&j, "log_ticket", s->ticket);
    weir_json_key(&j, "gpus");
    weir_json_array(&j);
    for (size_t i = 0; i < s->n_gpus; i++) {
        weir_json_u64(&j, s->gpu[i]);
    }
    weir_json_end(&j);
    weir_json_key(&j, "gpu_mj");
    weir_json_array(&j);
    for (size_t i = 0; i < s->n_gpus; i++) {
        weir_json_u64(&j, s->gpu_mj[i]);
    }
    weir_json_end(&j);
    weir_json_kv_cstr(&j, "checkpoint", s->checkpoint);
    weir_json_kv_cstr(&j, "container", s->container);
    weir_json_end(&j);
    weir_str_addc(out, '\n');
}

int weir_record_make(const char *dir,
                     const char *spare,
                     const struct weir_record_start *start,
                     int *ret_fd,
                     struct weir_err *err)
{
    char path[WEIR_PATH_SIZE];
    if (!weir_path_join(path, dir, record_file)) {
        return weir_fail(err, -WEIR_EIO, "directory name '%.200s' is too long", dir);
    }
    /* RENAME_NOREPLACE: a rename would silently take the place of an empty directory */
    bool reused = spare != NULL && renameat2(AT_FDCWD, spare, AT_FDCWD, dir, RENAME_NOREPLACE) == 0;
    if (!reused && mkdir(dir, 0700) < 0) {
        if (errno == EEXIST) {
            return -WEIR_EEXISTS;
        }
        return weir_fail(err, weir_error_from_errno(errno), "cannot make directory '%.200s': %s", dir, strerror(errno));
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct weir_str line = WEIR_STR_INIT(WEIR_RECORD_BYTES_MAX);
    write_start(start, &line);
    int rc = fd < 0 ? weir_error_from_errno(errno) : flock(fd, LOCK_EX | LOCK_NB) < 0 ? -WEIR_EIO : add_line(fd, &line);
    weir_str_release(&line);
    if (rc < 0) {
        (void)weir_fail(err, rc, "cannot write '%.300s': %s", path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        (void)weir_dir_remove(dir, 16);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* True where dir holds nothing but the given names. */
static bool holds_only(const char *dir, const char *a, const char *b)
{
    DIR *d = opendir(dir);
    bool only = d != NULL || errno == ENOENT;
    const struct dirent *e;
    while (only && d != NULL && (e = readdir(d)) != NULL) {
        only = weir_streq(e->d_name, ".") || weir_streq(e->d_name, "..") || weir_streq(e->d_name, a) || weir_streq(e->d_name, b);
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return only;
}

bool weir_record_retire(const char *dir, const char *spare)
{
    static const char *const ours[] = {"log", stop_file, "script", "setup"};
    char name[WEIR_PATH_SIZE];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ours); i++) {
        if (weir_path_join(name, dir, ours[i])) {
            (void)unlink(name);
        }
    }
    return holds_only(dir, record_file, "cwd") && weir_path_join(name, dir, "cwd") && holds_only(name, ".", ".") &&
           rename(dir, spare) == 0;
}

int weir_record_add_started(int fd, pid_t pid, pid_t task_pid, struct weir_wall at)
{
    struct weir_str line = WEIR_STR_INIT(512);
    weir_str_addf(&line, "{\"pid\":%d,\"task_pid\":%d,\"started\":%lld}\n", (int)pid, (int)task_pid, (long long)at.us);
    int rc = add_line(fd, &line);
    weir_str_release(&line);
    return rc;
}

int weir_record_add_end(int fd, const struct weir_agent_end *end)
{
    struct weir_str line = WEIR_STR_INIT(8192);
    struct weir_json j = weir_json_begin(&line);
    weir_json_object(&j);
    weir_agent_end_write(&j, end);
    weir_json_end(&j);
    weir_str_addc(&line, '\n');
    int rc = add_line(fd, &line);
    weir_str_release(&line);
    return rc;
}

/* ---- reading ---- */

static int64_t int_of(const json_t *v, const char *key)
{
    const json_t *x = json_object_get(v, key);
    return json_is_integer(x) ? json_integer_value(x) : 0;
}

static int read_start(const json_t *v, struct weir_record_start *s, struct weir_err *err)
{
    int rc = weir_run_id_read(json_object_get(v, "run"), &s->run, err);
    if (rc < 0) {
        return rc;
    }
    int64_t rank = int_of(v, "rank");
    s->rank = rank < 0 || rank >= WEIR_GANG_NODES_MAX ? 0 : (uint32_t)rank;
    const json_t *gpus = json_object_get(v, "gpus");
    const json_t *mj = json_object_get(v, "gpu_mj");
    for (size_t i = 0; i < json_array_size(gpus) && i < WEIR_AGENT_GPUS_MAX; i++) {
        int64_t g = json_integer_value(json_array_get(gpus, i));
        int64_t e = json_integer_value(json_array_get(mj, i));
        s->gpu[i] = g < 0 || g >= WEIR_AGENT_GPUS_MAX ? 0 : (uint32_t)g;
        s->gpu_mj[i] = e < 0 ? 0 : (uint64_t)e;
        s->n_gpus = i + 1;
    }
    const char *checkpoint = json_string_value(json_object_get(v, "checkpoint"));
    const char *container = json_string_value(json_object_get(v, "container"));
    const char *ticket = json_string_value(json_object_get(v, "log_ticket"));
    (void)snprintf(s->checkpoint, sizeof s->checkpoint, "%s", checkpoint == NULL ? "" : checkpoint);
    (void)snprintf(s->container, sizeof s->container, "%s", container == NULL ? "" : container);
    (void)snprintf(s->ticket, sizeof s->ticket, "%s", ticket == NULL ? "" : ticket);
    return 0;
}

static int read_line(struct weir_sv line, unsigned number, struct weir_record *r, struct weir_err *err)
{
    json_t *v = json_loadb(line.p, line.n, 0, NULL);
    int rc = 0;
    if (!json_is_object(v)) {
        rc = weir_fail(err, -WEIR_ECORRUPT, "line %u is not a JSON object", number);
    } else if (number == 1) {
        rc = read_start(v, &r->start, err);
    } else if (json_object_get(v, "task_pid") != NULL) {
        r->pid = (pid_t)int_of(v, "pid");
        r->task_pid = (pid_t)int_of(v, "task_pid");
        r->started.us = int_of(v, "started");
    } else {
        rc = weir_agent_end_read(v, &r->end, err);
        r->has_end = rc == 0;
    }
    json_decref(v);
    return rc;
}

int weir_record_read(const char *dir, struct weir_record *ret, bool *ret_locked, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE];
    if (!weir_path_join(path, dir, record_file)) {
        return weir_fail(err, -WEIR_EIO, "directory name '%.200s' is too long", dir);
    }
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? -WEIR_ENOTFOUND : weir_fail(err, -WEIR_EIO, "cannot open '%.300s': %s", path, strerror(errno));
    }
    /* The lock is looked at first: a supervisor writes its last line before it lets go. */
    bool locked = flock(fd, LOCK_SH | LOCK_NB) < 0;
    WEIR_CLEANUP(weir_freep) char *text = weir_alloc(WEIR_RECORD_BYTES_MAX + 1);
    ssize_t n = pread(fd, text, WEIR_RECORD_BYTES_MAX, 0);
    if (n < 0) {
        return weir_fail(err, -WEIR_EIO, "cannot read '%.300s': %s", path, strerror(errno));
    }
    struct weir_record r = {0};
    unsigned lines = 0;
    size_t at = 0;
    const char *end;
    while ((end = memchr(text + at, '\n', (size_t)n - at)) != NULL) {
        size_t stop = (size_t)(end - text);
        int rc = read_line((struct weir_sv){text + at, stop - at}, ++lines, &r, err);
        if (rc < 0) {
            return weir_fail_prefix(err, -WEIR_ECORRUPT, "'%.200s'", path);
        }
        at = stop + 1;
    }
    if (lines == 0) {
        return -WEIR_ENOTFOUND;
    }
    *ret = r;
    *ret_locked = locked;
    return 0;
}

/* ---- stops ---- */

int weir_stop_write(const char *dir, const struct weir_stop *stop, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE], temp[WEIR_PATH_SIZE], text[128];
    if (!weir_path_join(path, dir, stop_file) || !weir_path_join(temp, dir, "stop.new")) {
        return weir_fail(err, -WEIR_EIO, "directory name '%.200s' is too long", dir);
    }
    int n = snprintf(text, sizeof text, "%d %lld %s\n", stop->signal, (long long)stop->grace.us, weir_reason_name(stop->reason));
    WEIR_CLEANUP(weir_closep) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)n) != n || rename(temp, path) < 0) {
        return weir_fail(err, -WEIR_EIO, "cannot write '%.300s': %s", path, strerror(errno));
    }
    return 0;
}

int weir_stop_read(const char *dir, struct weir_stop *ret)
{
    char path[WEIR_PATH_SIZE], text[128];
    if (!weir_path_join(path, dir, stop_file)) {
        return -WEIR_EIO;
    }
    long n = weir_slurp(path, text, sizeof text);
    if (n < 0) {
        return -WEIR_ENOTFOUND;
    }
    struct weir_sv rest = weir_sv_trim((struct weir_sv){text, (size_t)n});
    int64_t signal = 0, grace = 0;
    if (weir_parse_i64(weir_sv_cut(&rest, ' '), 1, 64, &signal, NULL) < 0 ||
        weir_parse_i64(weir_sv_cut(&rest, ' '), 0, INT64_MAX, &grace, NULL) < 0 || rest.p == NULL) {
        return -WEIR_ECORRUPT;
    }
    char name[32];
    (void)snprintf(name, sizeof name, "%.*s", (int)(rest.n > 31 ? 31 : rest.n), rest.p);
    enum weir_reason reason = weir_reason_parse(name);
    *ret = (struct weir_stop){(int)signal, {grace}, reason == WEIR_REASON_NONE ? WEIR_REASON_CANCEL : reason};
    return 0;
}

uint64_t weir_stop_pack(const struct weir_stop *stop)
{
    int64_t ms = stop->grace.us / WEIR_US_PER_MS;
    uint64_t grace = ms < 0 ? 0 : ms > STOP_GRACE_MS_MAX ? STOP_GRACE_MS_MAX : (uint64_t)ms;
    return grace << 16 | (uint64_t)(stop->reason & 0xff) << 8 | (uint64_t)(stop->signal & 0xff);
}

bool weir_stop_unpack(uint64_t value, struct weir_stop *ret)
{
    unsigned signal = value & 0xff;
    unsigned reason = value >> 8 & 0xff;
    if (signal < 1 || signal > 64 || reason == WEIR_REASON_NONE || reason >= WEIR_REASON_MAX) {
        return false;
    }
    *ret = (struct weir_stop){(int)signal, {(int64_t)(value >> 16) * WEIR_US_PER_MS}, (enum weir_reason)reason};
    return true;
}

/* ---- removing ---- */

static unsigned remove_budget;

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    (void)where;
    if (remove_budget == 0) {
        return 1;
    }
    remove_budget--;
    (void)remove(path);
    return 0;
}

bool weir_dir_remove(const char *path, unsigned budget)
{
    /* The usual run leaves these and nothing else: a walk costs ten times as much. */
    static const char *const usual[] = {"log", record_file, stop_file};
    char name[WEIR_PATH_SIZE];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(usual); i++) {
        if (weir_path_join(name, path, usual[i])) {
            (void)unlink(name);
        }
    }
    if (weir_path_join(name, path, "cwd")) {
        (void)rmdir(name);
    }
    if (rmdir(path) == 0 || errno == ENOENT) {
        return true;
    }
    remove_budget = budget;
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 && access(path, F_OK) < 0;
}
