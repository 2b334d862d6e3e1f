/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/sandbox/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/file.h"
#include "base/mem.h"

bool sandbox_path(char ret[static SANDBOX_PATH_SIZE], const char *dir, const char *name)
{
    int n = snprintf(ret, SANDBOX_PATH_SIZE, "%s/%s", dir, name);
    return n > 0 && n < SANDBOX_PATH_SIZE;
}

void sandbox_id(const char *token, char ret[static SANDBOX_ID_SIZE])
{
    (void)snprintf(ret, SANDBOX_ID_SIZE, "sb-%016llx", (unsigned long long)weir_hash_bytes(token, strlen(token)));
}

bool sandbox_id_is_valid(const char *id)
{
    return strlen(id) == 19 && strncmp(id, "sb-", 3) == 0 && strspn(id + 3, "0123456789abcdef") == 16;
}

static int fail_errno(struct weir_err *err, const char *dir, const char *name)
{
    return weir_fail(err, weir_error_from_errno(errno), "%s/%s: %s", dir, name, strerror(errno));
}

static int write_all(int fd, struct weir_sv content)
{
    while (content.n > 0) {
        ssize_t k = write(fd, content.p, content.n);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return -1;
        }
        content.p += k;
        content.n -= (size_t)k;
    }
    return 0;
}

static void sync_dir(const char *dir)
{
    WEIR_CLEANUP(weir_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
    }
}

int sandbox_write_file(const char *dir, const char *name, struct weir_sv content, struct weir_err *err)
{
    char path[SANDBOX_PATH_SIZE];
    char temp[SANDBOX_PATH_SIZE + 8];
    if (!sandbox_path(path, dir, name)) {
        return weir_fail(err, -WEIR_ELIMIT, "%s/%s: the path is too long", dir, name);
    }
    (void)snprintf(temp, sizeof temp, "%s.new", path);
    WEIR_CLEANUP(weir_closep) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write_all(fd, content) != 0 || fsync(fd) != 0 || rename(temp, path) != 0) {
        return fail_errno(err, dir, name);
    }
    sync_dir(dir);
    return 0;
}

int sandbox_read_file(const char *dir, const char *name, char **ret, size_t *ret_n, struct weir_err *err)
{
    char path[SANDBOX_PATH_SIZE];
    if (!sandbox_path(path, dir, name)) {
        return weir_fail(err, -WEIR_ELIMIT, "%s/%s: the path is too long", dir, name);
    }
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return fail_errno(err, dir, name);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > SANDBOX_FILE_BYTES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s/%s: not a file of at most %d bytes", dir, name, SANDBOX_FILE_BYTES_MAX);
    }
    return weir_file_read_fd(fd, path, SANDBOX_FILE_BYTES_MAX, ret, ret_n, err);
}

/* ---- launch.json and state.json ---- */

int sandbox_write_spec(const char *dir, const struct sandbox_spec *s, struct weir_err *err)
{
    struct weir_str out = WEIR_STR_INIT(SANDBOX_FILE_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "token", s->token);
    weir_json_kv_cstr(&j, "owner", s->owner);
    weir_json_kv_u64(&j, "lease", s->lease);
    weir_json_kv_cstr(&j, "gpu", s->gpu);
    weir_json_kv_u64(&j, "gpus", s->gpus);
    weir_json_kv_u64(&j, "cpu_milli", s->cpu_milli);
    weir_json_kv_u64(&j, "mem_mib", s->mem_mib);
    weir_json_kv_cstr(&j, "instance_type", s->provider_offer);
    weir_json_kv_cstr(&j, "region", s->region);
    weir_json_kv_bool(&j, "spot", s->spot);
    weir_json_kv_i64(&j, "price_micro_per_hour", s->price_micro_per_hour);
    weir_json_kv_cstr(&j, "broker_url", s->broker_url);
    weir_json_kv_cstr(&j, "self_exe", s->self_exe);
    weir_json_kv_bool(&j, "has_ca", s->has_ca);
    weir_json_kv_bool(&j, "boot_never", s->boot_never);
    weir_json_kv_bool(&j, "keep_disk", s->keep_disk);
    weir_json_kv_i64(&j, "boot_delay_us", s->boot_delay.us);
    weir_json_kv_i64(&j, "reclaim_after_us", s->reclaim_after.us);
    weir_json_kv_i64(&j, "notice_us", s->notice.us);
    weir_json_kv_i64(&j, "expires_us", s->expires.us);
    weir_json_end(&j);
    int r = sandbox_write_file(dir, "launch.json", weir_str_sv(&out), err);
    weir_str_release(&out);
    return r;
}

static void json_unrefp(json_t **j)
{
    json_decref(*j);
}

static int read_json(const char *dir, const char *name, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = sandbox_read_file(dir, name, &text, &n, err);
    if (r < 0) {
        return r;
    }
    json_error_t why;
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(j)) {
        json_decref(j);
        return weir_fail(err, -WEIR_ECORRUPT, "%s/%s: not the JSON object that it should be: %s", dir, name, why.text);
    }
    *ret = j;
    return 0;
}

/* Copies a string member; false where it is absent or too long. */
static bool get_text(const json_t *j, const char *key, char *ret, size_t size)
{
    const json_t *v = json_object_get(j, key);
    if (!json_is_string(v) || json_string_length(v) >= size) {
        return false;
    }
    memcpy(ret, json_string_value(v), json_string_length(v) + 1);
    return true;
}

static bool get_int(const json_t *j, const char *key, int64_t *ret)
{
    const json_t *v = json_object_get(j, key);
    if (!json_is_integer(v)) {
        return false;
    }
    *ret = json_integer_value(v);
    return true;
}

static bool get_bool(const json_t *j, const char *key)
{
    return json_is_true(json_object_get(j, key));
}

int sandbox_read_spec(const char *dir, struct sandbox_spec *ret, struct weir_err *err)
{
    WEIR_CLEANUP(json_unrefp) json_t *j = NULL;
    int r = read_json(dir, "launch.json", &j, err);
    if (r < 0) {
        return r;
    }
    struct sandbox_spec s = {0};
    int64_t lease;
    int64_t gpus;
    int64_t cpu_milli;
    int64_t mem_mib;
    bool ok = get_text(j, "token", s.token, sizeof s.token) && get_text(j, "owner", s.owner, sizeof s.owner) &&
              get_int(j, "lease", &lease) && get_text(j, "gpu", s.gpu, sizeof s.gpu) && get_int(j, "gpus", &gpus) &&
              get_int(j, "cpu_milli", &cpu_milli) && get_int(j, "mem_mib", &mem_mib) &&
              get_text(j, "instance_type", s.provider_offer, sizeof s.provider_offer) &&
              get_text(j, "region", s.region, sizeof s.region) &&
              get_int(j, "price_micro_per_hour", &s.price_micro_per_hour) &&
              get_text(j, "broker_url", s.broker_url, sizeof s.broker_url) &&
              get_text(j, "self_exe", s.self_exe, sizeof s.self_exe) && get_int(j, "boot_delay_us", &s.boot_delay.us) &&
              get_int(j, "reclaim_after_us", &s.reclaim_after.us) && get_int(j, "notice_us", &s.notice.us) &&
              get_int(j, "expires_us", &s.expires.us);
    if (!ok || lease < 0 || gpus < 0 || gpus > WEIR_NODE_GPUS_MAX || cpu_milli < 0 || cpu_milli > UINT32_MAX ||
        mem_mib < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "%s/launch.json: a member is missing or wrong", dir);
    }
    s.lease = (uint64_t)lease;
    s.gpus = (uint32_t)gpus;
    s.cpu_milli = (uint32_t)cpu_milli;
    s.mem_mib = (uint64_t)mem_mib;
    s.spot = get_bool(j, "spot");
    s.has_ca = get_bool(j, "has_ca");
    s.boot_never = get_bool(j, "boot_never");
    s.keep_disk = get_bool(j, "keep_disk");
    *ret = s;
    return 0;
}

static const char *const state_name[WEIR_INSTANCE_STATE_MAX] = {
    [WEIR_INSTANCE_PENDING] = "pending",
    [WEIR_INSTANCE_RUNNING] = "running",
    [WEIR_INSTANCE_STOPPING] = "stopping",
    [WEIR_INSTANCE_GONE] = "gone",
};

int sandbox_write_state(const char *dir, const struct sandbox_state *s, struct weir_err *err)
{
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "state", state_name[s->state]);
    weir_json_kv_i64(&j, "launched_us", s->launched.us);
    weir_json_kv_i64(&j, "ended_us", s->ended.us);
    weir_json_kv_bool(&j, "reclaimed", s->reclaimed);
    weir_json_kv_i64(&j, "reclaim_at_us", s->reclaim_at.us);
    weir_json_kv_i64(&j, "pid", s->pid);
    weir_json_kv_cstr(&j, "reason", s->reason);
    weir_json_end(&j);
    int r = sandbox_write_file(dir, "state.json", weir_str_sv(&out), err);
    weir_str_release(&out);
    return r;
}

int sandbox_read_state(const char *dir, struct sandbox_state *ret, struct weir_err *err)
{
    WEIR_CLEANUP(json_unrefp) json_t *j = NULL;
    int r = read_json(dir, "state.json", &j, err);
    if (r < 0) {
        return r;
    }
    struct sandbox_state s = {.state = WEIR_INSTANCE_STATE_MAX};
    char name[16];
    bool ok = get_text(j, "state", name, sizeof name) && get_int(j, "launched_us", &s.launched.us) &&
              get_int(j, "ended_us", &s.ended.us) && get_int(j, "reclaim_at_us", &s.reclaim_at.us) &&
              get_int(j, "pid", &s.pid) && get_text(j, "reason", s.reason, sizeof s.reason);
    for (int i = 0; ok && i < WEIR_INSTANCE_STATE_MAX; i++) {
        if (weir_streq(name, state_name[i])) {
            s.state = (enum weir_instance_state)i;
        }
    }
    if (!ok || s.state == WEIR_INSTANCE_STATE_MAX) {
        return weir_fail(err, -WEIR_ECORRUPT, "%s/state.json: a member is missing or wrong", dir);
    }
    s.reclaimed = get_bool(j, "reclaimed");
    *ret = s;
    return 0;
}

/* ---- flags and the lock ---- */

int sandbox_raise_flag(const char *dir, const char *flag, struct weir_err *err)
{
    int r = sandbox_write_file(dir, flag, WEIR_SV(""), err);
    char path[SANDBOX_PATH_SIZE];
    if (r < 0 || !sandbox_path(path, dir, "wake")) {
        return r;
    }
    /* Nobody reads while the machine starts or has ended; then the flag alone is enough. Opened for
     * both ways, so that a reader that goes away in between is no SIGPIPE. */
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "w", 1);
    }
    return 0;
}

static int open_lock(const char *dir)
{
    char path[SANDBOX_PATH_SIZE];
    if (!sandbox_path(path, dir, "lock")) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Locks of open file descriptions: looking at one does not take it, so looking disturbs nobody. */
bool sandbox_is_alive(const char *dir)
{
    WEIR_CLEANUP(weir_closep) int fd = open_lock(dir);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

int sandbox_take_lock(const char *dir, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int fd = open_lock(dir);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd < 0) {
        return fail_errno(err, dir, "lock");
    }
    if (fcntl(fd, F_OFD_SETLK, &l) != 0) {
        bool taken = errno == EAGAIN || errno == EACCES;
        return taken ? weir_fail(err, -WEIR_EINUSE, "%s: the machine runs already", dir) : fail_errno(err, dir, "lock");
    }
    int held = fd;
    fd = -1;
    return held;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void sandbox_remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
